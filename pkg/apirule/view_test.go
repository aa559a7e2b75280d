// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package apirule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

func TestParseReadsTheObject(t *testing.T) {
	cases := map[string]struct {
		text string
		want apirule.View
	}{
		"nothing has the namespace of the request": {"{}", apirule.View{Namespace: "request"}},
		"null": {"null", apirule.View{Namespace: "request"}},
		"names and what surrounds the rules": {
			`
metadata:
  name: cart
  namespace: shop
  uid: 0-1
  deletionTimestamp: "2026-01-01T00:00:00Z"
  annotations:
    extauth-guard.io/inject: "true"
    extauth-guard.io/typo: x
    extauth-guard.io/replace: 1
    example.com/a: b
    gateway.kyma-project.io/original-version: v2
  ownerReferences:
  - {apiVersion: v1, kind: ConfigMap, name: none}
  - {apiVersion: apps/v1, kind: Deployment, name: one, controller: true}
  - {apiVersion: v1, kind: Service, name: two, controller: true}
spec: {hosts: [cart, 7, shop.example.com], gateway: kyma-system/kyma-gateway, externalGateway: a/b}
`,
			apirule.View{
				Namespace: "shop", Name: "cart", UID: "0-1", Deleting: true,
				Annotations:    map[string]string{annotation.Inject: "true", annotation.Replace: "!!int 1", annotation.Prefix + "typo": "x"},
				HasAnnotations: true, OriginalVersion: "v2",
				Controller: &apirule.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "one"},
				Hosts:      []string{"cart", "shop.example.com"}, Gateway: "kyma-system/kyma-gateway", ExternalGateway: "a/b",
			},
		},
		"an empty namespace is that of the request": {`{metadata: {namespace: ""}}`, apirule.View{Namespace: "request"}},
		"annotations of others only":                {`{metadata: {annotations: {a: b}}}`, apirule.View{Namespace: "request", HasAnnotations: true}},
		"annotations without entries":               {`{metadata: {annotations: {}}}`, apirule.View{Namespace: "request", HasAnnotations: true}},
		"annotations that are null":                 {`{metadata: {annotations: null}}`, apirule.View{Namespace: "request"}},
		"a deletion timestamp that is null":         {`{metadata: {deletionTimestamp: null}}`, apirule.View{Namespace: "request"}},
		"an external gateway where there is no other": {
			`{spec: {externalGateway: a/b}}`, apirule.View{Namespace: "request", Gateway: "a/b", ExternalGateway: "a/b"},
		},
		"origins of browsers": {
			`{spec: {corsPolicy: {allowOrigins: [{exact: "https://a", prefix: "https://b"}, {regex: .*}, text], allowCredentials: true}}}`,
			apirule.View{Namespace: "request", CORS: apirule.CORS{Origins: []string{"exact:https://a", "prefix:https://b", "regex:.*"}, Credentials: true}},
		},
		"a controller of a wrong type is none": {
			`{metadata: {ownerReferences: [{name: a, controller: "true"}, text, null]}}`, apirule.View{Namespace: "request"},
		},
		"wrong types everywhere": {
			`{metadata: [a], spec: text}`, apirule.View{Namespace: "request"},
		},
		"wrong types inside": {
			`{metadata: {name: 1, namespace: [], uid: {}, annotations: a, ownerReferences: {}}, spec: {hosts: a, gateway: 1, rules: {a: b}}}`,
			apirule.View{Namespace: "request"},
		},
		"no rules": {`{spec: {rules: []}}`, apirule.View{Namespace: "request"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw := toJSON(t, tc.text)
			given := decode(t, raw)
			got := apirule.Parse(given, "request")
			// Whether there is metadata at all is the business of patches.
			got.HasMetadata = false
			assert.Empty(t, cmp.Diff(tc.want, got))
			assert.Empty(t, cmp.Diff(decode(t, raw), given), "the object is only read")
		})
	}
}

func TestStrategy(t *testing.T) {
	cases := map[string]struct {
		rule        string
		want        apirule.Strategy
		authorizers []string
		protected   bool
		unprotected bool
	}{
		"nothing is open":                       {`{}`, apirule.Open, nil, false, true},
		"noAuth false is open":                  {`{noAuth: false}`, apirule.Open, nil, false, true},
		"noAuth null is open":                   {`{noAuth: null}`, apirule.Open, nil, false, true},
		"all null is open":                      {`{noAuth: null, jwt: null, extAuth: null}`, apirule.Open, nil, false, true},
		"unknown fields mean nothing":           {`{noauth: true, ExtAuth: {authorizers: [a]}, JWT: {}}`, apirule.Open, nil, false, true},
		"noAuth true":                           {`{noAuth: true}`, apirule.NoAuth, nil, false, true},
		"jwt":                                   {`{jwt: {authentications: [{issuer: a}]}}`, apirule.JWT, nil, true, false},
		"jwt without anything":                  {`{jwt: {}}`, apirule.JWT, nil, true, false},
		"jwt beside noAuth false":               {`{jwt: {}, noAuth: false}`, apirule.JWT, nil, true, false},
		"extAuth":                               {`{extAuth: {authorizers: [b, a]}}`, apirule.ExtAuth, []string{"b", "a"}, true, false},
		"extAuth beside noAuth false":           {`{noAuth: false, extAuth: {authorizers: [a]}}`, apirule.ExtAuth, []string{"a"}, true, false},
		"extAuth with a name that is empty":     {`{extAuth: {authorizers: [""]}}`, apirule.ExtAuth, []string{""}, true, false},
		"extAuth without authorizers":           {`{extAuth: {}}`, apirule.ExtAuth, nil, false, true},
		"extAuth with none":                     {`{extAuth: {authorizers: []}}`, apirule.ExtAuth, nil, false, true},
		"extAuth with authorizers null":         {`{extAuth: {authorizers: null}}`, apirule.ExtAuth, nil, false, true},
		"extAuth with restrictions only":        {`{extAuth: {restrictions: {}}}`, apirule.ExtAuth, nil, false, true},
		"noAuth and jwt":                        {`{noAuth: true, jwt: {}}`, apirule.Malformed, nil, false, false},
		"noAuth and extAuth":                    {`{noAuth: true, extAuth: {authorizers: [a]}}`, apirule.Malformed, nil, false, false},
		"jwt and extAuth":                       {`{jwt: {}, extAuth: {authorizers: [a]}}`, apirule.Malformed, nil, false, false},
		"all three":                             {`{noAuth: true, jwt: {}, extAuth: {}}`, apirule.Malformed, nil, false, false},
		"noAuth of a wrong type":                {`{noAuth: "true"}`, apirule.Malformed, nil, false, false},
		"jwt of a wrong type":                   {`{jwt: []}`, apirule.Malformed, nil, false, false},
		"extAuth of a wrong type":               {`{extAuth: [a]}`, apirule.Malformed, nil, false, false},
		"authorizers of a wrong type":           {`{extAuth: {authorizers: a}}`, apirule.Malformed, nil, false, false},
		"an authorizer of a wrong type":         {`{extAuth: {authorizers: [a, 1]}}`, apirule.Malformed, nil, false, false},
		"a wrong type beside what is right":     {`{jwt: {}, noAuth: "false"}`, apirule.Malformed, nil, false, false},
		"a rule that is text":                   {`text`, apirule.Malformed, nil, false, false},
		"a rule that is null":                   {`null`, apirule.Malformed, nil, false, false},
		"a rule that is a list":                 {`[{noAuth: true}]`, apirule.Malformed, nil, false, false},
		"a false noAuth does not hide mistakes": {`{noAuth: false, jwt: {}, extAuth: {}}`, apirule.Malformed, nil, false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := apirule.Parse(decode(t, toJSON(t, "{spec: {rules: ["+tc.rule+"]}}")), "shop")
			require.Len(t, view.Rules, 1)
			rule := view.Rules[0]
			assert.Equal(t, tc.want, rule.Strategy)
			assert.Equal(t, tc.authorizers, rule.Authorizers)
			assert.Equal(t, tc.protected, rule.Protected(), "protected")
			assert.Equal(t, tc.unprotected, rule.Unprotected(), "unprotected")
		})
	}
}

// Kyma api-gateway, v2alpha1/service.go, FindServiceNamespace: the rule's own
// Service first, its namespace falling back to that of the spec's Service and
// then to that of the APIRule.
func TestEffectiveService(t *testing.T) {
	name := func(namespace, name string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	cases := map[string]struct {
		spec, rule string
		want       types.NamespacedName
		port       int64
		field      string
	}{
		"that of the spec":                                {`{name: a, port: 80}`, `null`, name("shop", "a"), 80, "spec.service"},
		"that of the spec elsewhere":                      {`{name: a, namespace: far, port: 80}`, `null`, name("far", "a"), 80, "spec.service"},
		"that of the rule":                                {`{name: a, port: 80}`, `{name: b, port: 81}`, name("shop", "b"), 81, "spec.rules[0].service"},
		"that of the rule only":                           {`null`, `{name: b, port: 81}`, name("shop", "b"), 81, "spec.rules[0].service"},
		"that of the rule elsewhere":                      {`{name: a, namespace: far}`, `{name: b, namespace: near}`, name("near", "b"), 0, "spec.rules[0].service"},
		"that of the rule in the namespace of the spec's": {`{name: a, namespace: far}`, `{name: b}`, name("far", "b"), 0, "spec.rules[0].service"},
		"neither":                       {`null`, `null`, name("", ""), 0, "spec.service"},
		"a rule's without a name":       {`{name: a}`, `{namespace: near}`, name("", ""), 0, "spec.rules[0].service"},
		"a rule's of a wrong type":      {`{name: a}`, `text`, name("shop", "a"), 0, "spec.service"},
		"a spec's of a wrong type":      {`text`, `{name: b}`, name("shop", "b"), 0, "spec.rules[0].service"},
		"a port of a wrong type":        {`{name: a, port: "80"}`, `null`, name("shop", "a"), 0, "spec.service"},
		"a namespace of a wrong type":   {`{name: a, namespace: 7}`, `null`, name("shop", "a"), 0, "spec.service"},
		"an empty namespace is as none": {`{name: a, namespace: ""}`, `{name: b, namespace: ""}`, name("shop", "b"), 0, "spec.rules[0].service"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := apirule.Parse(decode(t, toJSON(t, "{spec: {service: "+tc.spec+", rules: [{service: "+tc.rule+"}]}}")), "shop")
			require.Len(t, view.Rules, 1)
			assert.Equal(t, tc.want, view.Rules[0].Service)
			assert.Equal(t, tc.port, view.Rules[0].ServicePort)
			assert.Equal(t, tc.field, view.Rules[0].ServiceField().String())
		})
	}
}

func TestRulesKeepTheirPlaces(t *testing.T) {
	view := apirule.Parse(decode(t, toJSON(t, `{spec: {rules: [{path: /a, methods: [GET, 7, POST]}, text, {path: 7, methods: GET}]}}`)), "shop")
	want := []apirule.Rule{
		{Index: 0, Path: "/a", Methods: []string{"GET", "POST"}},
		{Index: 1, Strategy: apirule.Malformed},
		{Index: 2},
	}
	assert.Empty(t, cmp.Diff(want, view.Rules))
	assert.Equal(t, "spec.rules[2]", view.Rules[2].Field().String())
	assert.Equal(t, "spec.rules[2].extAuth.authorizers[1]", view.Rules[2].AuthorizerField(1).String())
}

func TestLegacy(t *testing.T) {
	cases := map[string]struct {
		text string
		want bool
	}{
		"v1beta1 without rules": {`{metadata: {annotations: {gateway.kyma-project.io/original-version: v1beta1}}}`, true},
		"v1beta1 with null":     {`{metadata: {annotations: {gateway.kyma-project.io/original-version: v1beta1}}, spec: {rules: null}}`, true},
		"v1beta1 with rules":    {`{metadata: {annotations: {gateway.kyma-project.io/original-version: v1beta1}}, spec: {rules: [{}]}}`, false},
		"v2 without rules":      {`{metadata: {annotations: {gateway.kyma-project.io/original-version: v2}}}`, false},
		"never stored":          {`{}`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, apirule.Parse(decode(t, toJSON(t, tc.text)), "shop").Legacy())
		})
	}
}

func TestViewNames(t *testing.T) {
	view := apirule.View{Namespace: "shop", Name: "cart", Hosts: []string{"a", "b"}}
	assert.Equal(t, types.NamespacedName{Namespace: "shop", Name: "cart"}, view.NamespacedName())
	assert.Equal(t, "a", view.Host())
	assert.Empty(t, apirule.View{}.Host())
}

// FuzzParse: any object reads without a panic, each rule at its place, and the
// object is not changed.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var given map[string]any
		if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &given) != nil {
			t.Skip("not an object")
		}
		view := apirule.Parse(given, "shop")
		require.Empty(t, cmp.Diff(decode(t, raw), given))
		require.Empty(t, cmp.Diff(view, apirule.Parse(given, "shop")))
		require.NotEmpty(t, view.Namespace)
		for i, rule := range view.Rules {
			require.Equal(t, i, rule.Index)
			require.False(t, rule.Protected() && rule.Unprotected())
			require.Equal(t, rule.Strategy == apirule.Malformed, !rule.Protected() && !rule.Unprotected())
			require.True(t, rule.Strategy == apirule.ExtAuth || rule.Authorizers == nil)
			require.Equal(t, rule.Service.Name == "", rule.Service.Namespace == "")
		}
	})
}

// What is longer than its limit is not read any further, and counted.
func TestParseReadsNoMoreThanItsLimits(t *testing.T) {
	rules := make([]any, 0, 15_000)
	for i := range cap(rules) {
		rules = append(rules, map[string]any{"path": fmt.Sprintf("/%d", i)})
	}
	authorizers := make([]any, 0, 300)
	for i := range cap(authorizers) {
		authorizers = append(authorizers, fmt.Sprintf("a%d", i))
	}
	rules[7] = map[string]any{
		"methods": []any{"GET", "get", "GET", "FOO", "POST"}, "extAuth": map[string]any{"authorizers": authorizers},
		"service": map[string]any{"name": strings.Repeat("n", 1000)},
	}
	parse := func() apirule.View {
		return apirule.Parse(map[string]any{"spec": map[string]any{"rules": rules, "hosts": []any{strings.Repeat("h", 1000)}}}, "shop")
	}
	view := parse()
	require.Len(t, view.Rules, 10_000)
	assert.Equal(t, []string{"GET", "POST"}, view.Rules[7].Methods, "each that exists, once")
	assert.Len(t, view.Rules[7].Authorizers, 16)
	assert.Equal(t, strings.Repeat("n", 61)+"…", view.Rules[7].Service.Name, "no Service has such a name")
	assert.Equal(t, []string{strings.Repeat("h", 61) + "…"}, view.Hosts)
	require.Len(t, view.Excess, 2)
	assert.Equal(t, "spec.rules", view.Excess[0].Field.String())
	assert.Equal(t, 15_000, view.Excess[0].Count)
	assert.Equal(t, "spec.rules[7].extAuth.authorizers", view.Excess[1].Field.String())
	assert.Equal(t, 300, view.Excess[1].Count)

	assert.Equal(t, view.Excess, parse().Excess, "the same list, the same digest")
	rules[14_999] = map[string]any{"noAuth": true}
	assert.NotEqual(t, view.Excess[0].Digest, parse().Excess[0].Digest)
}
