// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guarantee_test holds the admission policies of the chart against a real API
// server in which no replica of extauth-guard runs at all.
package guarantee_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	policies "github.com/extauth-guard/extauth-guard/test/harness/guarantee"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// published is what the leader has written before it went away.
func published() guarantee.Known {
	entry := func(name, service string, port int64) istio.Authorizer {
		return istio.Authorizer{Name: name, Service: service, Port: port, PathPrefix: "/verify?original="}
	}
	return guarantee.Known{
		Registry: policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", Authorizers: []istio.Authorizer{
			entry("oauth2-proxy", "oauth2-proxy.oauth2-proxy.svc.cluster.local", 80), entry("corp", "corp.shop.svc.cluster.local", 80), entry("broken", "a.b.svc.cluster.local", 0),
		}}),
		Settings: policy.DefaultSettings(),
		Services: map[types.NamespacedName]policy.Service{
			{Namespace: "asking", Name: "out"}:  {Annotations: map[string]string{"extauth-guard.io/inject": "false"}},
			{Namespace: "asking", Name: "keep"}: {Annotations: map[string]string{"extauth-guard.io/replace": "jwt"}},
			{Namespace: "shop", Name: "in"}:     {Annotations: map[string]string{"extauth-guard.io/inject": "true", "extauth-guard.io/replace": "noAuth"}},
		},
	}
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	m.Run()
}

type stage struct{ *kyma.Cluster }

func newStage(t *testing.T) stage {
	t.Helper()
	s := stage{kyma.Start(t)}
	s.Namespace("shop", nil)
	s.Namespace("public", map[string]string{"exposure": "public"})
	s.Namespace("elsewhere", nil)
	s.Apply(`{apiVersion: v1, kind: Namespace, metadata: {name: asking, annotations: {extauth-guard.io/inject: "true", extauth-guard.io/replace: "noAuth"}}}`)
	s.Apply(`{apiVersion: v1, kind: Namespace, metadata: {name: misspelled, annotations: {extauth-guard.io/injekt: "true"}}}`)
	s.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: public}, spec: {mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: public}}},
		require: {authorizers: [oauth2-proxy], jwt: {issuers: ["https://idp.example.com"]}}, optOut: Forbidden, exemptions: [
		{namespace: public, name: excused, paths: ["/health/{**}", /ready], reason: r, owner: o, expires: "2099-01-01"}, {namespace: public, name: over, reason: r, owner: o, expires: "2020-01-01"}]}}`)
	s.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: by-host}, spec: {mode: Enforce, match: {hosts: ["*.strict.example.com"]}, require: {}}}`)
	s.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: warns}, spec: {mode: Warn, require: {}}}`)
	require.NoError(t, policies.Install(t.Context(), s.Plane.Config(), "shop", guarantee.Parameters(published())))
	return s
}

var apirules = schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}

// apirule returns an APIRule; rules are in YAML, annotations too.
func apirule(t *testing.T, namespace, name, annotations, rules string) *unstructured.Unstructured {
	t.Helper()
	host := name + ".example.com"
	if strings.HasPrefix(name, "strict-") {
		host = "a.strict.example.com"
	}
	text := fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %s, namespace: %s, annotations: {%s}},
		spec: {hosts: [%s], gateway: kyma-system/kyma-gateway, service: {name: app, port: 80}, rules: [%s]}}`, name, namespace, annotations, host, rules)
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &object.Object))
	raw, err := object.MarshalJSON()
	require.NoError(t, err)
	require.NoError(t, object.UnmarshalJSON(raw))
	return object
}

const (
	open    = `{path: /*, methods: [GET], noAuth: true}`
	guarded = `{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`
	asks    = `extauth-guard.io/inject: "true", extauth-guard.io/replace: noAuth`
	jwt     = `{path: /*, methods: [GET], jwt: {authentications: [{issuer: "https://idp.example.com", jwksUri: "%s"}]}}`
)

// refused returns the code of a refusal by the policies, "" for an admission, and every
// other error as it is.
func refused(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if at := strings.LastIndex(text, "["); at >= 0 && strings.HasSuffix(text, "]") && strings.Contains(text, "ValidatingAdmissionPolicy") {
		return text[at+1 : len(text)-1]
	}
	return text
}

func TestCreates(t *testing.T) {
	s := newStage(t)
	for name, tc := range map[string]struct {
		namespace, name, annotations, rules string
		want, sentence                      string
	}{
		"a registered authorizer": {"shop", "a", "", guarded, "", ""},
		"an authorizer that is not registered": {
			"shop", "a", "", `{path: /a, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}, {path: /*, methods: [GET], extAuth: {authorizers: [corp, ouath2-proxy]}}`, "AuthorizerNotRegistered",
			`spec.rules[1].extAuth.authorizers[1]: Invalid value: "ouath2-proxy": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: broken, corp, oauth2-proxy; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`,
		},
		"an authorizer that is not valid": {
			"shop", "a", "", `{path: /*, methods: [GET], extAuth: {authorizers: [broken]}}`, "AuthorizerInvalid",
			`spec.rules[0].extAuth.authorizers[0]: Invalid value: "broken": its entry in the Istio CR kyma-system/default is not valid: spec.config.authorizers[0].port: must be a port between 1 and 65535; every request would get 403 [AuthorizerInvalid]`,
		},
		"an open rule that nobody speaks of": {"shop", "a", "", open, "", ""},
		"an open rule that its annotation wants protected": {
			"shop", "a", asks, open, "InjectionMissing",
			`spec.rules[0]: Invalid value: "/*": APIRule asks for the authorizers oauth2-proxy, but the rule has none: the mutating webhook did not run`,
		},
		"authorizers alone ask, too":                            {"shop", "a", `extauth-guard.io/authorizers: corp, extauth-guard.io/replace: "noAuth,jwt"`, open, "InjectionMissing", ""},
		"an annotation that may not replace noAuth leaves it":   {"shop", "a", `extauth-guard.io/inject: "true", extauth-guard.io/replace: jwt`, open, "", ""},
		"an open rule that the namespace wants protected":       {"asking", "a", "", open, "InjectionMissing", ""},
		"the APIRule is nearer than the namespace":              {"asking", "a", `extauth-guard.io/inject: "false"`, open, "", ""},
		"a Service that was known to opt out is nearer":         {"asking", "a", "", `{path: /*, methods: [GET], noAuth: true, service: {name: out, port: 80}}`, "", ""},
		"a Service that was known to replace nothing is nearer": {"asking", "a", "", `{path: /*, methods: [GET], noAuth: true, service: {name: keep, port: 80}}`, "", ""},
		"a Service that was known to ask":                       {"shop", "a", "", `{path: /*, methods: [GET], noAuth: true, service: {name: in, port: 80}}`, "InjectionMissing", ""},
		"the way to an authorizer stays open":                   {"shop", "a", asks, `{path: /*, methods: [GET], noAuth: true, service: {name: corp, port: 80}}`, "", ""},
		"a key that nobody knows": {
			"shop", "a", `extauth-guard.io/injekt: "true"`, guarded, "InvalidAnnotation", `metadata.annotations[extauth-guard.io/injekt]: Invalid value: "extauth-guard.io/injekt": unknown annotation on an APIRule`,
		},
		"a key in capitals":                                  {"shop", "a", `Extauth-Guard.io/inject: "true"`, guarded, "InvalidAnnotation", ""},
		"a value that is neither true nor false":             {"shop", "a", `extauth-guard.io/inject: "yes"`, guarded, "InvalidAnnotation", `metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes": must be "true" or "false" [InvalidAnnotation]`},
		"a value with a line break":                          {"shop", "a", `extauth-guard.io/inject: "a\nb"`, guarded, "InvalidAnnotation", "An annotation of this project has an unknown key"},
		"a name twice":                                       {"shop", "a", `extauth-guard.io/authorizers: "corp,corp"`, guarded, "InvalidAnnotation", ""},
		"a name that none can have":                          {"shop", "a", `extauth-guard.io/authorizers: "corp,a_b"`, guarded, "InvalidAnnotation", ""},
		"a list with blanks is read":                         {"shop", "a", `extauth-guard.io/authorizers: " corp , oauth2-proxy "`, guarded, "", ""},
		"an annotation of the namespace that cannot be read": {"misspelled", "a", "", open, "InvalidAnnotation", "metadata.namespace: Invalid value: \"misspelled\": Namespace misspelled has metadata.annotations[extauth-guard.io/injekt]"},
		"what a policy requires": {
			"public", "a", "", open, "PolicyViolation",
			`spec.rules[0]: Invalid value: "/*": ExtAuthPolicy public requires the authorizer oauth2-proxy or a jwt of https://idp.example.com, but the rule says "noAuth: true"; name one in extAuth.authorizers, or ask the owner of the policy for an exemption [PolicyViolation]`,
		},
		"a policy that is complied with":                     {"public", "a", "", guarded, "", ""},
		"another authorizer than the policy wants":           {"public", "a", "", `{path: /*, methods: [GET], extAuth: {authorizers: [corp]}}`, "PolicyViolation", ""},
		"a jwt of the issuer":                                {"public", "a", "", fmt.Sprintf(jwt, "https://idp.example.com/keys"), "", ""},
		"a jwt with keys at another host":                    {"public", "a", "", fmt.Sprintf(jwt, "https://evil.example.com/keys"), "PolicyViolation", ""},
		"a jwt with keys at another host that looks like":    {"public", "a", "", fmt.Sprintf(jwt, "https://x@idp.example.com/keys"), "PolicyViolation", ""},
		"an exemption covers the path":                       {"public", "excused", "", `{path: "/health/live", methods: [GET], noAuth: true}`, "", ""},
		"an exemption is exactly the path":                   {"public", "excused", "", `{path: /ready, methods: [GET], noAuth: true}`, "", ""},
		"an exemption does not cover another path":           {"public", "excused", "", `{path: "/healthz", methods: [GET], noAuth: true}`, "PolicyViolation", ""},
		"an exemption that is over":                          {"public", "over", "", open, "PolicyViolation", ""},
		"a policy of hosts":                                  {"shop", "strict-a", "", open, "PolicyViolation", "ExtAuthPolicy by-host requires a registered authorizer"},
		"a policy of hosts, complied with":                   {"shop", "strict-a", "", `{path: /*, methods: [GET], extAuth: {authorizers: [corp]}}`, "", ""},
		"an opt-out that is forbidden":                       {"public", "a", `extauth-guard.io/inject: "false"`, guarded, "OptOutForbidden", `metadata.annotations[extauth-guard.io/inject]: Invalid value: "false": APIRule says extauth-guard.io/inject: "false", and ExtAuthPolicy public forbids to opt out`},
		"an opt-out that nobody forbids":                     {"shop", "a", `extauth-guard.io/inject: "false"`, guarded, "", ""},
		"a rule for another namespace is decided by its own": {"shop", "a", asks, `{path: /*, methods: [GET], noAuth: true, service: {name: app, namespace: elsewhere, port: 80}}`, "InjectionMissing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Untyped.Resource(apirules).Namespace(tc.namespace).Create(t.Context(), apirule(t, tc.namespace, tc.name, tc.annotations, tc.rules), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			require.Equal(t, tc.want, refused(err), "%v", err)
			if tc.sentence != "" {
				require.ErrorContains(t, err, tc.sentence)
				assert.True(t, apierrors.IsInvalid(err))
			}
		})
	}
	t.Run("v2alpha1 is the same", func(t *testing.T) {
		object := apirule(t, "asking", "a", "", open)
		object.SetAPIVersion("gateway.kyma-project.io/v2alpha1")
		at := apirules
		at.Version = "v2alpha1"
		_, err := s.Untyped.Resource(at).Namespace("asking").Create(t.Context(), object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.Equal(t, "InjectionMissing", refused(err))
	})
	t.Run("Services and Namespaces", s.testOptOuts)
	t.Run("updates", s.testUpdates)
	t.Run("a registry that is not known", s.testUnknown)
}

func (s stage) testOptOuts(t *testing.T) {
	services := s.Untyped.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"})
	service := func(namespace, inject string) *unstructured.Unstructured {
		return kyma.Object(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: a, namespace: %s, annotations: {extauth-guard.io/inject: %q}}, spec: {ports: [{port: 80}]}}`, namespace, inject))
	}
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	_, err := services.Namespace("public").Create(t.Context(), service("public", "false"), dry)
	require.Equal(t, "OptOutForbidden", refused(err))
	require.ErrorContains(t, err, `metadata.annotations[extauth-guard.io/inject]: Invalid value: "false": Service says extauth-guard.io/inject: "false", and ExtAuthPolicy public forbids to opt out`)
	_, err = services.Namespace("public").Create(t.Context(), service("public", "true"), dry)
	require.NoError(t, err)
	_, err = services.Namespace("shop").Create(t.Context(), service("shop", "false"), dry)
	require.NoError(t, err, "the policy of hosts forbids nothing, and the other one is about another namespace")
	namespaces := s.Untyped.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	space := kyma.Object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: new, labels: {exposure: public}, annotations: {extauth-guard.io/inject: "false"}}}`)
	_, err = namespaces.Create(t.Context(), space, dry)
	require.Equal(t, "OptOutForbidden", refused(err))
	space.SetLabels(nil)
	_, err = namespaces.Create(t.Context(), space, dry)
	require.NoError(t, err)
}

// testUpdates is the ratchet: what was there before stays, and may not grow.
func (s stage) testUpdates(t *testing.T) {
	const fronted = `{path: "/admin/{**}", methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}, {path: /other, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}, `
	host := func(object map[string]any) { object["spec"].(map[string]any)["hosts"] = []any{"another.example.com"} }
	for name, tc := range map[string]struct {
		namespace, annotations, before, after string
		change                                func(map[string]any)
		want                                  string
	}{
		"what was open stays open":                            {"public", "", open, open, func(o map[string]any) { o["spec"].(map[string]any)["timeout"] = int64(9) }, ""},
		"an open rule may get narrower":                       {"public", "", open, `{path: /a, methods: [GET], noAuth: true}`, nil, ""},
		"an open rule may lose methods":                       {"public", "", `{path: /*, methods: [GET, POST], noAuth: true}`, open, nil, ""},
		"an open rule may not get wider":                      {"public", "", `{path: "/a/{**}", methods: [GET], noAuth: true}`, open, nil, "PolicyViolation"},
		"an open rule may not get methods":                    {"public", "", open, `{path: /*, methods: [GET, POST], noAuth: true}`, nil, "PolicyViolation"},
		"a second open rule":                                  {"public", "", `{path: /a, methods: [GET], noAuth: true}`, `{path: /a, methods: [GET], noAuth: true}, {path: /b, methods: [GET], noAuth: true}`, nil, "PolicyViolation"},
		"another host":                                        {"public", "", open, open, host, "PolicyViolation"},
		"another Service":                                     {"public", "", open, `{path: /*, methods: [GET], noAuth: true, service: {name: b, port: 80}}`, nil, "PolicyViolation"},
		"the same Service, said by the rule":                  {"public", "", open, `{path: /*, methods: [GET], noAuth: true, service: {name: app, port: 80}}`, nil, ""},
		"a jwt that nobody accepts is no open rule":           {"public", "", fmt.Sprintf(jwt, "https://evil.example.com/keys"), open, nil, "PolicyViolation"},
		"a protected rule in front that goes":                 {"public", "", fronted + open, open, nil, "PolicyViolation"},
		"a protected rule in front that gets narrower":        {"public", "", fronted + open, strings.ReplaceAll(fronted, "/admin/{**}", "/admin/x") + open, nil, "PolicyViolation"},
		"a protected rule in front that gets wider":           {"public", "", fronted + open, strings.ReplaceAll(fronted, "/admin/{**}", "/{**}") + open, nil, ""},
		"a protected rule that is no longer in front":         {"public", "", fronted + open, open + ", " + strings.TrimSuffix(fronted, ", "), nil, "PolicyViolation"},
		"a protected rule that never met the open one may go": {"public", "", fronted + `{path: /b, methods: [GET], noAuth: true}`, `{path: /b, methods: [GET], noAuth: true}`, nil, ""},
		"protecting what was open":                            {"public", "", open, guarded, nil, ""},
		"an unregistered authorizer that was there before":    {"shop", "", `{path: /*, methods: [GET], extAuth: {authorizers: [gone]}}`, `{path: /a, methods: [GET], extAuth: {authorizers: [gone]}}`, nil, ""},
		"an unregistered authorizer once more":                {"shop", "", `{path: /a, methods: [GET], extAuth: {authorizers: [gone]}}`, `{path: /a, methods: [GET], extAuth: {authorizers: [gone]}}, {path: /b, methods: [GET], extAuth: {authorizers: [gone]}}`, nil, "AuthorizerNotRegistered"},
		"an open rule in a namespace that asks, from before":  {"asking", "", open, open + `, {path: /x, methods: [POST], extAuth: {authorizers: [corp]}}`, nil, ""},
		"a new open rule in a namespace that asks":            {"asking", "", guarded, guarded + `, {path: /x, methods: [POST], noAuth: true}`, nil, "InjectionMissing"},
		"an annotation that could not be read before":         {"shop", `extauth-guard.io/inject: "yes"`, guarded, guarded, func(o map[string]any) { o["spec"].(map[string]any)["timeout"] = int64(9) }, ""},
		"an opt-out from before":                              {"public", `extauth-guard.io/inject: "false"`, guarded, guarded, func(o map[string]any) { o["spec"].(map[string]any)["timeout"] = int64(9) }, ""},
		"an APIRule that another controller owns": {"public", "", guarded, open, func(o map[string]any) {
			o["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "1", "controller": true}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			unseen := s.unseen(t).Resource(apirules).Namespace(tc.namespace)
			stored, err := unseen.Create(t.Context(), apirule(t, tc.namespace, "updated", tc.annotations, tc.before), metav1.CreateOptions{})
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, unseen.Delete(context.WithoutCancel(t.Context()), "updated", metav1.DeleteOptions{}))
			})
			changed := stored.DeepCopy()
			changed.Object["spec"].(map[string]any)["rules"] = apirule(t, tc.namespace, "updated", "", tc.after).Object["spec"].(map[string]any)["rules"]
			if tc.change != nil {
				tc.change(changed.Object)
			}
			_, err = s.Untyped.Resource(apirules).Namespace(tc.namespace).Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			assert.Equal(t, tc.want, refused(err), "%v", err)
			_, err = unseen.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			assert.NoError(t, err, "Kyma's controller passes")
		})
	}
}

// unseen is Kyma's controller, whose writes pass.
func (s stage) unseen(t *testing.T) dynamic.Interface {
	t.Helper()
	config := s.Plane.AsServiceAccount("kyma-system", "api-gateway-controller-manager")
	config.Impersonate.Groups = append(config.Impersonate.Groups, "system:masters")
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return client
}

func (s stage) testUnknown(t *testing.T) {
	known := published()
	known.Registry = policy.UnknownRegistryBecause("there is no Istio CR in the namespace kyma-system")
	create := func(rules string) string {
		_, err := s.Untyped.Resource(apirules).Namespace("shop").Create(t.Context(), apirule(t, "shop", "a", "", rules), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return refused(err)
	}
	require.NoError(t, policies.Publish(t.Context(), s.Plane.Config(), guarantee.Parameters(known)))
	require.Eventually(t, func() bool { return create(guarded) == "RegistryUnknown" }, 30*time.Second, 20*time.Millisecond)
	require.Empty(t, create(open))
	known.Settings.UnknownRegistry = policy.Warn
	require.NoError(t, policies.Publish(t.Context(), s.Plane.Config(), guarantee.Parameters(known)))
	require.Eventually(t, func() bool { return create(guarded) == "" }, 30*time.Second, 20*time.Millisecond)
}
