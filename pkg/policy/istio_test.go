// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// good is an authorizer that nothing is wrong with.
func good(index int, name string) istio.Authorizer {
	return istio.Authorizer{Index: index, Name: name, Service: name + ".auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original=", Timeout: "5s"}
}

// cr is the Istio CR kyma-system/default with authorizers.
func cr(authorizers ...istio.Authorizer) *istio.View {
	return &istio.View{Namespace: "kyma-system", Name: "default", Created: "2026-01-02T00:00:00Z", Authorizers: authorizers}
}

// used makes facts in which shop/cart uses these authorizers.
func used(names ...string) policy.IstioFacts {
	return policy.IstioFacts{Users: func(authorizer string) []string {
		if slices.Contains(names, authorizer) {
			return []string{"shop/cart"}
		}
		return nil
	}}
}

func TestCheckIstioEntries(t *testing.T) {
	const at = "deny: spec.config.authorizers[0]"
	with := func(change func(*istio.Authorizer)) *istio.View {
		entry := good(0, "corp")
		change(&entry)
		return cr(entry)
	}
	const badName = `istiod takes only names of up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit [AuthorizerInvalid]`
	const wholeSeconds = `must be whole seconds, at least 1s: the Istio module cuts off the rest [AuthorizerInvalid]`
	cases := map[string]struct {
		view *istio.View
		want []string
	}{
		"nothing":               {cr(), nil},
		"good entries":          {cr(good(0, "corp"), good(1, "oauth2-proxy")), nil},
		"no timeout is fine":    {with(func(a *istio.Authorizer) { a.Timeout = "" }), nil},
		"a minute is fine":      {with(func(a *istio.Authorizer) { a.Timeout = "1m30s" }), nil},
		"an entry is no object": {cr(istio.Authorizer{Malformed: true}), []string{at + `: Invalid value: "": must be an object with a name [AuthorizerInvalid]`}},
		"a name in capitals":    {with(func(a *istio.Authorizer) { a.Name = "Corp" }), []string{at + `.name: Invalid value: "Corp": ` + badName}},
		"an empty name":         {with(func(a *istio.Authorizer) { a.Name = "" }), []string{at + `.name: Invalid value: "": ` + badName}},
		"a long name":           {with(func(a *istio.Authorizer) { a.Name = strings.Repeat("a", 64) }), []string{at + `.name: Invalid value: "` + strings.Repeat("a", 64) + `": ` + badName}},
		"no port":               {with(func(a *istio.Authorizer) { a.Port = 0 }), []string{at + `.port: Invalid value: "0": must be a port between 1 and 65535 [AuthorizerInvalid]`}},
		"a port too large":      {with(func(a *istio.Authorizer) { a.Port = 65536 }), []string{at + `.port: Invalid value: "65536": must be a port between 1 and 65535 [AuthorizerInvalid]`}},
		"the largest port":      {with(func(a *istio.Authorizer) { a.Port = 65535 }), nil},
		"no Service":            {with(func(a *istio.Authorizer) { a.Service = "" }), []string{at + `.service: Invalid value: "": must be the host name of the authorizer's Service, for example oauth2-proxy.oauth2-proxy.svc.cluster.local [AuthorizerInvalid]`}},
		"a prefix without /":    {with(func(a *istio.Authorizer) { a.PathPrefix = "verify" }), []string{at + `.pathPrefix: Invalid value: "verify": must begin with "/" [AuthorizerInvalid]`}},
		"no prefix": {with(func(a *istio.Authorizer) { a.PathPrefix = "" }), []string{
			`warn: spec.config.authorizers[0].pathPrefix: Invalid value: "corp": without a pathPrefix an oauth2-proxy lets everybody call /ping, /ready, /robots.txt and /oauth2/static/* of every protected host; set it to "/verify?original=" [AuthorizerOpenPaths]`,
		}},
		"a timeout that is none":  {with(func(a *istio.Authorizer) { a.Timeout = "soon" }), []string{at + `.timeout: Invalid value: "soon": must be a duration, for example "5s"; one that cannot be read makes the Istio module fail for all CRs [AuthorizerInvalid]`}},
		"half a second":           {with(func(a *istio.Authorizer) { a.Timeout = "500ms" }), []string{at + `.timeout: Invalid value: "500ms": ` + wholeSeconds}},
		"a second and a half":     {with(func(a *istio.Authorizer) { a.Timeout = "1.5s" }), []string{at + `.timeout: Invalid value: "1.5s": ` + wholeSeconds}},
		"less than nothing":       {with(func(a *istio.Authorizer) { a.Timeout = "-5s" }), []string{at + `.timeout: Invalid value: "-5s": ` + wholeSeconds}},
		"an empty timeout":        {with(func(a *istio.Authorizer) { a.Timeout, a.EmptyTimeout = "", true }), []string{at + `.timeout: Invalid value: "": must be a duration, for example "5s"; one that cannot be read makes the Istio module fail for all CRs [AuthorizerInvalid]`}},
		"a name of Kyma's":        {with(func(a *istio.Authorizer) { a.Name = "stdout-json" }), []string{at + `.name: Invalid value: "stdout-json": the name is taken by a provider of Kyma's Istio module, so Kyma refuses every APIRule that names it; choose another name [AuthorizerInvalid]`}},
		"a port that is text":     {with(func(a *istio.Authorizer) { a.Port, a.Mistyped = 0, []string{"port"} }), []string{at + `.port: Invalid value: "": must be a whole number: the Istio module cannot read another value, and then applies no Istio CR at all [AuthorizerInvalid]`}},
		"any header":              {with(func(a *istio.Authorizer) { a.BareWildcards = []string{"headers.inCheck.include[1]"} }), []string{at + `.headers.inCheck.include[1]: Invalid value: "*": istiod takes no "*" alone; name the headers, or a part of their names as in "x-*" [AuthorizerInvalid]`}},
		"a prefix that is no URL": {with(func(a *istio.Authorizer) { a.PathPrefix = "/%zz" }), []string{at + `.pathPrefix: Invalid value: "/%zz": must be the beginning of a path; istiod cannot read it: invalid URL escape "%zz" [AuthorizerInvalid]`}},
		"a name three times": {cr(good(0, "corp"), good(1, "corp"), good(2, "corp")), []string{
			`deny: spec.config.authorizers[1].name: Invalid value: "corp": the name is taken by spec.config.authorizers[0]; the Istio module stops reconciling at a duplicate, so nothing of this CR would take effect; choose another name [AuthorizerDuplicate]`,
			`deny: spec.config.authorizers[2].name: Invalid value: "corp": the name is taken by spec.config.authorizers[0]; the Istio module stops reconciling at a duplicate, so nothing of this CR would take effect; choose another name [AuthorizerDuplicate]`,
		}},
		"a key of ours that is not for it": {&istio.View{Namespace: "kyma-system", Name: "default", Annotations: ours("inject", "true")}, []string{
			`deny: metadata.annotations[extauth-guard.io/inject]: Invalid value: "extauth-guard.io/inject": unknown annotation on an Istio; known here: extauth-guard.io/allow-removal [InvalidAnnotation]`,
		}},
		"removals that nobody can read": {&istio.View{Namespace: "kyma-system", Name: "default", Annotations: ours("allow-removal", "a,,b")}, []string{
			`deny: metadata.annotations[extauth-guard.io/allow-removal]: Invalid value: "a,,b": has an empty entry; separate names by single commas [InvalidAnnotation]`,
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			findings := policy.CheckIstio(nil, tc.view, policy.IstioFacts{})
			assert.Empty(t, cmp.Diff(tc.want, sentences(findings)))
			assert.False(t, policy.Denies(policy.CheckIstio(tc.view, tc.view, policy.IstioFacts{})), "an update that changes nothing is not refused")
		})
	}
}

func TestCheckIstioInUse(t *testing.T) {
	inUse := func(name string) string {
		return `the authorizer is used by 1 APIRule, whose requests would all get 403: shop/cart; change it first, or allow it in the same update with the annotation extauth-guard.io/allow-removal: ` +
			name + `, or before it with ` + name + `@2026-12-01T10:00:00Z, whose end is at most 24 h ahead [AuthorizerInUse]`
	}
	deleting := func(name string) string {
		return `deny: metadata.name: Invalid value: "` + name + `": the authorizer is used by 1 APIRule, whose requests would all get 403: shop/cart; change it first, or allow it with the annotation extauth-guard.io/allow-removal: ` +
			name + `@2026-12-01T10:00:00Z, whose end is at most 24 h ahead [AuthorizerInUse]`
	}
	allowing := func(view *istio.View, names string) *istio.View {
		view.Annotations = ours("allow-removal", names)
		return view
	}
	older := istio.View{Namespace: "kyma-system", Name: "older", Created: "2026-01-01T00:00:00Z", Authorizers: []istio.Authorizer{good(0, "corp")}}
	younger := istio.View{Namespace: "kyma-system", Name: "younger", Created: "2026-01-03T00:00:00Z", Authorizers: []istio.Authorizer{good(0, "corp")}}
	with := func(facts policy.IstioFacts, others ...istio.View) policy.IstioFacts {
		facts.Others = others
		return facts
	}
	collection := func(facts policy.IstioFacts) policy.IstioFacts {
		facts.Collection = true
		return facts
	}
	cases := map[string]struct {
		before, after *istio.View
		facts         policy.IstioFacts
		want          []string
		wantRemoved   []string
	}{
		"a new CR removes nothing":      {nil, cr(), used("corp"), nil, nil},
		"nothing is removed":            {cr(good(0, "corp")), cr(good(0, "new"), good(1, "corp")), used("corp"), nil, nil},
		"what nobody uses is removed":   {cr(good(0, "corp")), cr(), used("other"), nil, nil},
		"nobody looked who uses it":     {cr(good(0, "corp")), cr(), policy.IstioFacts{}, nil, nil},
		"what somebody uses is removed": {cr(good(0, "corp")), cr(), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"renaming is removing":          {cr(good(0, "corp")), cr(good(0, "corp2")), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"the whole CR is deleted": {cr(good(0, "b"), good(1, "a")), nil, used("a", "b"), []string{
			deleting("a"), deleting("b"),
		}, nil},
		"the removal is allowed by the update":              {cr(good(0, "corp")), allowing(cr(), "corp"), used("corp"), nil, []string{"corp"}},
		"the removal of something else is allowed":          {cr(good(0, "corp")), allowing(cr(), "other"), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"the deletion is allowed by what is deleted":        {allowing(cr(good(0, "corp")), "corp@2026-11-30T12:00:00Z"), nil, used("corp"), nil, []string{"corp"}},
		"an allowance without an end was used up before":    {allowing(cr(good(0, "corp")), "corp"), nil, used("corp"), []string{deleting("corp")}, nil},
		"an allowance holds for the update that writes it":  {allowing(cr(good(0, "corp")), "corp"), allowing(cr(), "corp"), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"an allowance with an end holds until then":         {allowing(cr(good(0, "corp")), "corp@2026-11-30T10:00:01Z"), allowing(cr(), "corp@2026-11-30T10:00:01Z"), used("corp"), nil, []string{"corp"}},
		"an allowance that has ended counts not":            {allowing(cr(good(0, "corp")), "corp@2026-11-30T10:00:00Z"), allowing(cr(), "corp@2026-11-30T10:00:00Z"), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"an allowance that is too far ahead counts not":     {allowing(cr(good(0, "corp")), "corp@2026-12-01T10:00:01Z"), nil, used("corp"), []string{deleting("corp")}, nil},
		"an allowance that gets an end is another one":      {allowing(cr(good(0, "corp")), "corp"), allowing(cr(), "corp@2026-12-01T10:00:00Z"), used("corp"), nil, []string{"corp"}},
		"several are allowed":                               {cr(good(0, "a"), good(1, "b")), allowing(cr(), "a, b@2026-11-30T22:00:00+01:00"), used("a", "b"), nil, []string{"a", "b"}},
		"an allowance that is taken back counts not":        {allowing(cr(good(0, "corp")), "corp"), cr(), used("corp"), []string{`deny: spec.config.authorizers: Invalid value: "corp": ` + inUse("corp")}, nil},
		"a CR that is not active removes nothing":           {cr(good(0, "corp")), cr(), with(used("corp"), older), nil, nil},
		"a CR that takes over has it too":                   {cr(good(0, "corp")), nil, with(used("corp"), younger), nil, nil},
		"a collection may have the CR that would take over": {cr(good(0, "corp")), nil, collection(with(used("corp"), younger)), []string{deleting("corp")}, nil},
		"a collection may have the active CR":               {&younger, nil, collection(with(used("corp"), *cr(good(0, "corp")))), []string{deleting("corp")}, nil},
		"a CR elsewhere is none":                            {&istio.View{Namespace: "other", Name: "a", Authorizers: []istio.Authorizer{good(0, "corp")}}, nil, used("corp"), nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.facts.Now = time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
			var inUse []policy.Finding
			for _, finding := range policy.CheckIstio(tc.before, tc.after, tc.facts) {
				if finding.Code == policy.AuthorizerInUse {
					inUse = append(inUse, finding)
				}
			}
			assert.Empty(t, cmp.Diff(tc.want, sentences(inUse)))
			assert.Equal(t, tc.wantRemoved, policy.AllowedRemovals(tc.before, tc.after, tc.facts))
		})
	}
}

// What was wrong with the CR before does not stop a change of something else.
func TestCheckIstioRatchets(t *testing.T) {
	bad := good(0, "corp")
	bad.Timeout = "500ms"
	moved := bad
	moved.Index = 1
	worse := bad
	worse.Timeout = "100ms"
	assert.False(t, policy.Denies(policy.CheckIstio(cr(bad), cr(good(0, "new"), moved), policy.IstioFacts{})), "the fault only moved")
	assert.True(t, policy.Denies(policy.CheckIstio(cr(bad), cr(worse), policy.IstioFacts{})), "the fault is another one")
	assert.True(t, policy.Denies(policy.CheckIstio(cr(good(0, "corp")), cr(bad), policy.IstioFacts{})), "the fault is new")
	assert.Empty(t, sentences(policy.CheckIstio(nil, nil, policy.IstioFacts{})))
}

func TestRegistry(t *testing.T) {
	registry := policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", State: "Error", Description: "words", Authorizers: []istio.Authorizer{
		{Index: 0, Name: "b", Service: "first.auth.svc"},
		{Index: 1, Malformed: true},
		{Index: 2, Name: "b", Service: "second.auth.svc"},
		{Index: 3, Name: "a", Service: "elsewhere"},
		{Index: 4, Service: "nameless.auth.svc"},
	}})
	assert.True(t, registry.Known)
	assert.Equal(t, "the Istio CR kyma-system/default", registry.Origin)
	assert.Equal(t, []string{"a", "b"}, registry.Names(), "sorted, each once")
	assert.True(t, registry.Has("b"))
	assert.False(t, registry.Has(""), "a malformed entry has no name")
	entry, ok := registry.Authorizer("b")
	assert.True(t, ok)
	assert.Equal(t, "first.auth.svc", entry.Service, "of several the first counts")
	_, ok = registry.Authorizer("c")
	assert.False(t, ok)

	assert.Equal(t, "b", registry.Behind(nsName("auth", "first")))
	assert.Empty(t, registry.Behind(nsName("auth", "second")))
	assert.Empty(t, registry.Behind(nsName("", "")), "a rule without a Service fronts nothing")

	assert.True(t, registry.Effective("c"), "while the mesh is not known")
	meshed := registry.WithMesh(&istio.Mesh{Providers: map[string]bool{"a": true, "b": false}})
	assert.True(t, meshed.Effective("a"))
	assert.False(t, meshed.Effective("b"))
	assert.False(t, meshed.Effective("c"))
	assert.True(t, registry.Effective("b"), "a registry does not change")

	unknown := policy.UnknownRegistryBecause("why")
	assert.False(t, unknown.Known)
	assert.Equal(t, "why", unknown.Reason)
	assert.False(t, unknown.Has("a"))
	assert.Empty(t, unknown.Names())
}
