// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// checked are the sentences about an APIRule, and it is made sure that each has
// a warning that fits and says something.
func checked(t *testing.T, text string, facts policy.Facts, settings policy.Settings) []string {
	t.Helper()
	findings := policy.Check(parse(t, text), facts, settings)
	for _, finding := range findings {
		assert.LessOrEqual(t, utf8.RuneCountInString(finding.Warning()), 120)
		assert.NotEmpty(t, finding.Brief)
		assert.NotEmpty(t, finding.Subject)
	}
	return sentences(findings)
}

func TestCheckAuthorizers(t *testing.T) {
	const asked = "spec.rules[0].extAuth.authorizers[0]: Invalid value: "
	many := registered("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9")
	warn := policy.DefaultSettings()
	warn.UnknownRegistry = policy.Warn
	cases := map[string]struct {
		rules    string
		registry policy.Registry
		settings policy.Settings
		want     []string
	}{
		"a registered name": {`[{extAuth: {authorizers: [corp]}}]`, registered("corp"), policy.DefaultSettings(), nil},
		"a misspelt name": {
			`[{extAuth: {authorizers: [ouath2-proxy]}}]`, registered("oauth2-proxy", "corp"), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"ouath2-proxy": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: corp, oauth2-proxy; did you mean "oauth2-proxy"? [AuthorizerNotRegistered]`},
		},
		"a name like no other": {
			`[{extAuth: {authorizers: [sso]}}]`, registered("oauth2-proxy"), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"sso": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: oauth2-proxy; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`},
		},
		"a name in other letters": {
			`[{extAuth: {authorizers: [Corp]}}]`, registered("corp"), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"Corp": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: corp; did you mean "corp"? [AuthorizerNotRegistered]`},
		},
		"nothing is registered": {
			`[{extAuth: {authorizers: [corp]}}]`, registered(), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"corp": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: none; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`},
		},
		"many are registered": {
			`[{extAuth: {authorizers: [corp]}}]`, many, policy.DefaultSettings(),
			[]string{"deny: " + asked + `"corp": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: a1, a2, a3, a4, a5, a6, a7, a8, a9, b1, b2, b3, b4, b5, b6, b7 and 2 more; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`},
		},
		"names that a front end was told": {
			`[{extAuth: {authorizers: [sso]}}]`, policy.StaticRegistry("the flag --authorizers", []string{"corp"}), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"sso": not registered in the flag --authorizers, so every request would get 403 "RBAC: access denied"; registered: corp; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`},
		},
		"the registry is not known": {
			`[{extAuth: {authorizers: [corp]}}]`, policy.UnknownRegistryBecause("there is no Istio CR in the namespace kyma-system"), policy.DefaultSettings(),
			[]string{"deny: " + asked + `"corp": cannot tell whether this authorizer is registered: there is no Istio CR in the namespace kyma-system; try again when the Istio CR in the namespace kyma-system can be read [RegistryUnknown]`},
		},
		"the registry is not known, and nobody says why": {
			`[{extAuth: {authorizers: [corp]}}]`,
			policy.Registry{},
			warn,
			[]string{"warn: " + asked + `"corp": cannot tell whether this authorizer is registered: the authorizers are not known; try again when the Istio CR in the namespace kyma-system can be read [RegistryUnknown]`},
		},
		"no name depends on the registry": {`[{noAuth: true}, {jwt: {}}, {}]`, policy.Registry{}, policy.DefaultSettings(), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := checked(t, "spec: {rules: "+tc.rules+"}", policy.Facts{Registry: tc.registry}, tc.settings)
			assert.Empty(t, cmp.Diff(tc.want, got))
		})
	}
}

func TestCheckInjection(t *testing.T) {
	const (
		mutatingIsDown = `but the rule has none: the mutating webhook did not run; apply the object again, and if that does not help ask your platform team whether extauth-guard runs [InjectionMissing]`
		openToAll      = `asks for injection, but the rule says "noAuth: true" and stays open to everybody; remove noAuth, or allow to replace it with the annotation extauth-guard.io/replace: noAuth [RuleLeftOpen]`
	)
	cases := map[string]struct {
		annotations map[string]string
		namespace   map[string]string
		rule        string
		want        []string
	}{
		"an open rule": {
			ours("inject", "true"), nil, `{path: /a}`,
			[]string{`deny: spec.rules[0]: Invalid value: "/a": APIRule asks for the authorizers oauth2-proxy, ` + mutatingIsDown},
		},
		"extAuth without authorizers": {
			nil, ours("authorizers", "corp,legacy"), `{path: /a, extAuth: {}}`,
			[]string{`deny: spec.rules[0]: Invalid value: "/a": Namespace asks for the authorizers corp, legacy, ` + mutatingIsDown},
		},
		"noAuth that may be replaced": {
			ours("inject", "true", "replace", "noAuth"), nil, `{path: /a, noAuth: true}`,
			[]string{`deny: spec.rules[0]: Invalid value: "/a": APIRule asks for the authorizers oauth2-proxy, ` + mutatingIsDown},
		},
		"noAuth that may not be replaced": {
			ours("inject", "true"), nil, `{path: /a, noAuth: true}`,
			[]string{`warn: spec.rules[0].noAuth: Invalid value: "/a": APIRule ` + openToAll},
		},
		"a jwt is protection, even if it may be replaced": {ours("inject", "true", "replace", "jwt"), nil, `{jwt: {}}`, nil},
		"nobody asked for an open rule":                   {nil, nil, `{}`, nil},
		"somebody said no":                                {ours("inject", "false"), ours("inject", "true"), `{noAuth: true}`, nil},
		"a malformed rule is for the CRD":                 {ours("inject", "true"), nil, `{noAuth: true, jwt: {}}`, nil},
		"an annotation that nobody can read": {
			ours("inject", "yes"), nil, `{noAuth: true}`,
			[]string{`deny: metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes": must be "true" or "false" [InvalidAnnotation]`},
		},
		"an annotation of the namespace that nobody can read": {
			ours("inject", "true"), ours("injet", "true"), `{}`,
			[]string{`deny: metadata.namespace: Invalid value: "shop": Namespace shop has metadata.annotations[extauth-guard.io/injet]: Invalid value: "extauth-guard.io/injet": unknown annotation on a Namespace; known here: extauth-guard.io/authorizers, extauth-guard.io/inject, extauth-guard.io/internal-callers, extauth-guard.io/replace; did you mean "extauth-guard.io/inject"?; correct it there [InvalidAnnotation]`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := parse(t, "spec: {rules: ["+tc.rule+"]}")
			view.Annotations = tc.annotations
			facts := policy.Facts{Registry: registered("oauth2-proxy"), Namespaces: map[string]policy.Namespace{"shop": {Annotations: tc.namespace, Labels: map[string]string{"istio-injection": "enabled"}}}}
			assert.Empty(t, cmp.Diff(tc.want, sentences(policy.Check(view, facts, policy.DefaultSettings()))))
		})
	}
}

// A fault of a Service is told once, where the first rule refers to it.
func TestCheckServiceAnnotations(t *testing.T) {
	facts := policy.Facts{Services: map[types.NamespacedName]policy.Service{
		service("cart"): {Annotations: ours("inject", "yes", "replace", "all")},
		service("pay"):  {Annotations: ours("authorizers", ""), Selector: policy.SelectorOf(map[string]string{"app": "pay"})},
		service("fine"): {Selector: policy.SelectorOf(map[string]string{"app": "fine"})},
	}, Restricted: map[types.NamespacedName]bool{service("pay"): true, service("fine"): true}}
	got := checked(t, `spec: {service: {name: cart}, rules: [{}, {}, {service: {name: pay}}, {service: {name: pay}}, {service: {name: fine}}, {service: {name: gone}}, {service: {name: cart}}]}`, facts, policy.DefaultSettings())
	assert.Empty(t, cmp.Diff([]string{
		`deny: spec.service: Invalid value: "shop/cart": Service shop/cart has metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes": must be "true" or "false"; correct it there [InvalidAnnotation]`,
		`deny: spec.service: Invalid value: "shop/cart": Service shop/cart has metadata.annotations[extauth-guard.io/replace]: Invalid value: "all": must be "noAuth", "jwt" or "noAuth,jwt"; correct it there [InvalidAnnotation]`,
		`deny: spec.rules[2].service: Invalid value: "shop/pay": Service shop/pay has metadata.annotations[extauth-guard.io/authorizers]: Invalid value: "": must name at least one authorizer, for example "oauth2-proxy"; correct it there [InvalidAnnotation]`,
	}, got))
}

func TestCheckAnnotationsWhereTheyAreWritten(t *testing.T) {
	assert.Empty(t, policy.CheckAnnotations("Service", ours("inject", "true", "expose", "shop")))
	assert.Empty(t, cmp.Diff(
		[]string{`deny: metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes": must be "true" or "false" [InvalidAnnotation]`},
		sentences(policy.CheckAnnotations("Namespace", ours("inject", "yes")))))
}

// The APIRule of another controller has warnings only.
func TestCheckControllerOwned(t *testing.T) {
	got := checked(t, `
metadata: {annotations: {extauth-guard.io/inject: 'yes'}, ownerReferences: [{apiVersion: a/v1, kind: Subscription, name: s, controller: true}]}
spec: {rules: [{extAuth: {authorizers: [sso]}}]}`, policy.Facts{Registry: registered("corp")}, policy.DefaultSettings())
	assert.Empty(t, cmp.Diff([]string{
		`warn: metadata.annotations[extauth-guard.io/inject]: Invalid value: "yes": must be "true" or "false" [InvalidAnnotation]`,
		`warn: spec.rules[0].extAuth.authorizers[0]: Invalid value: "sso": not registered in the Istio CR kyma-system/default, so every request would get 403 "RBAC: access denied"; registered: corp; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`,
	}, got))
}

// istiod allows one CUSTOM provider for each workload.
func TestCheckConflict(t *testing.T) {
	const both = `: istiod allows one authorizer for each workload and would answer all requests of both with 403; use the same authorizer in both, or separate Services whose selectors share no Pod [AuthorizerConflict]`
	several := policy.DefaultSettings()
	several.SeveralAuthorizers = true
	selecting := func(keysAndValues ...string) policy.Service {
		selector := map[string]string{}
		for i := 0; i+1 < len(keysAndValues); i += 2 {
			selector[keysAndValues[i]] = keysAndValues[i+1]
		}
		return policy.Service{Selector: policy.SelectorOf(selector)}
	}
	cases := map[string]struct {
		rules    string
		facts    policy.Facts
		settings policy.Settings
		want     []string
	}{
		"the same name in all rules": {`[{extAuth: {authorizers: [a]}}, {extAuth: {authorizers: [a]}}]`, policy.Facts{}, policy.DefaultSettings(), nil},
		"the same name twice":        {`[{extAuth: {authorizers: [a, a]}}]`, policy.Facts{}, policy.DefaultSettings(), nil},
		"two names in one rule": {
			`[{extAuth: {authorizers: [a, b]}}]`,
			policy.Facts{},
			policy.DefaultSettings(),
			[]string{`deny: spec.rules[0].extAuth.authorizers[1]: Invalid value: "b": the workload behind Service shop/cart would also get the authorizer "a", from this rule` + both},
		},
		"two names in one rule where the mesh allows it": {
			`[{extAuth: {authorizers: [a, b]}}]`,
			policy.Facts{},
			several,
			[]string{`warn: spec.rules[0].extAuth.authorizers[1]: Invalid value: "b": the workload behind Service shop/cart would also get the authorizer "a", from this rule: requests have to satisfy both; use the same authorizer in both, or separate Services whose selectors share no Pod [AuthorizerConflict]`},
		},
		"two rules": {
			`[{extAuth: {authorizers: [a]}}, {jwt: {}}, {extAuth: {authorizers: [b]}}]`,
			policy.Facts{},
			policy.DefaultSettings(),
			[]string{`deny: spec.rules[2].extAuth.authorizers[0]: Invalid value: "b": the workload behind Service shop/cart would also get the authorizer "a", from spec.rules[0]` + both},
		},
		"two rules with Services of their own": {
			`[{extAuth: {authorizers: [a]}}, {service: {name: pay}, extAuth: {authorizers: [b]}}]`, policy.Facts{}, policy.DefaultSettings(), nil,
		},
		"two rules without any Service": {
			`[{service: {}, extAuth: {authorizers: [a]}}, {service: {}, extAuth: {authorizers: [b]}}]`, policy.Facts{}, policy.DefaultSettings(), nil,
		},
		"two Services that select the same Pods": {
			`[{extAuth: {authorizers: [a]}}, {service: {name: pay}, extAuth: {authorizers: [b]}}]`,
			policy.Facts{Services: map[types.NamespacedName]policy.Service{service("cart"): selecting("app", "x"), service("pay"): selecting("app", "x", "track", "new")}},
			policy.DefaultSettings(),
			[]string{`deny: spec.rules[1].extAuth.authorizers[0]: Invalid value: "b": the workload behind Service shop/pay would also get the authorizer "a", from spec.rules[0]` + both},
		},
		"two Services of different namespaces": {
			`[{extAuth: {authorizers: [a]}}, {service: {name: cart, namespace: far}, extAuth: {authorizers: [b]}}]`,
			policy.Facts{Services: map[types.NamespacedName]policy.Service{service("cart"): selecting("app", "x"), {Namespace: "far", Name: "cart"}: selecting("app", "x")}},
			policy.DefaultSettings(), nil,
		},
		"somebody else, near by": {
			`[{extAuth: {authorizers: [a]}}]`,
			policy.Facts{Neighbours: map[types.NamespacedName][]policy.Neighbour{service("cart"): {{Object: "APIRule shop/jwt"}, {Object: "APIRule shop/same", Authorizer: "a"}, {Object: "AuthorizationPolicy shop/other", Authorizer: "b"}}}},
			policy.DefaultSettings(),
			[]string{`deny: spec.rules[0].extAuth.authorizers[0]: Invalid value: "a": the workload behind Service shop/cart would also get the authorizer "b", from AuthorizationPolicy shop/other` + both},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			tc.facts.Registry = registered("a", "b")
			for _, finding := range policy.Check(parse(t, "spec: {service: {name: cart}, rules: "+tc.rules+"}"), tc.facts, tc.settings) {
				if finding.Code == policy.AuthorizerConflict {
					got = append(got, sentences([]policy.Finding{finding})...)
				}
			}
			assert.Empty(t, cmp.Diff(tc.want, got))
		})
	}
}

func TestSharesWorkload(t *testing.T) {
	of := func(selector map[string]string) policy.Service {
		return policy.Service{Selector: policy.SelectorOf(selector)}
	}
	cases := map[string]struct {
		a, b map[string]string
		want bool
	}{
		"the same selector":               {map[string]string{"app": "x"}, map[string]string{"app": "x"}, true},
		"a part of it":                    {map[string]string{"app": "x"}, map[string]string{"app": "x", "track": "new"}, true},
		"another value":                   {map[string]string{"app": "x"}, map[string]string{"app": "y", "track": "new"}, false},
		"another key":                     {map[string]string{"app": "x"}, map[string]string{"name": "x"}, false},
		"neither is a part of the other":  {map[string]string{"app": "x", "a": "1"}, map[string]string{"app": "x", "b": "1"}, false},
		"no selector selects nothing":     {nil, map[string]string{"app": "x"}, false},
		"no selectors share nothing":      {nil, nil, false},
		"an empty value is not a missing": {map[string]string{"app": ""}, map[string]string{"name": "", "track": ""}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, of(tc.a).SharesWorkload(of(tc.b)))
			assert.Equal(t, tc.want, of(tc.b).SharesWorkload(of(tc.a)), "both ways")
		})
	}
}

// What surrounds a protected rule, each finding alone.
func TestCheckSurroundings(t *testing.T) {
	const authorizer = `spec.rules[0].extAuth.authorizers[0]: Invalid value: "corp": `
	withEntry := func(entry istio.Authorizer, state string) policy.Registry {
		entry.Name = "corp"
		return policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", State: state, Description: "its words", Authorizers: []istio.Authorizer{entry}})
	}
	closed := withEntry(istio.Authorizer{Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original="}, "Ready")
	troubled := withEntry(istio.Authorizer{Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original="}, "Warning")
	mesh := func(service string) *istio.Mesh {
		return &istio.Mesh{Providers: map[string]bool{"corp": true}, HTTP: map[string]istio.Provider{"corp": {Service: service, Port: 80, PathPrefix: "/verify?original="}}}
	}
	backend := func(exists, hasPort, ready bool) map[string]policy.Backend {
		return map[string]policy.Backend{"corp": {Service: types.NamespacedName{Namespace: "auth", Name: "corp"}, Exists: exists, HasPort: hasPort, Ready: ready}}
	}
	withLabels := func(keysAndValues ...string) map[string]policy.Namespace {
		labels := map[string]string{}
		for i := 0; i+1 < len(keysAndValues); i += 2 {
			labels[keysAndValues[i]] = keysAndValues[i+1]
		}
		return map[string]policy.Namespace{"shop": {Labels: labels}}
	}
	selecting := map[types.NamespacedName]policy.Service{service("cart"): {Selector: policy.SelectorOf(map[string]string{"app": "cart"})}}
	restricted := map[types.NamespacedName]bool{service("cart"): true}
	const first = `warn: spec.service: Invalid value: "shop/cart": this is the first rule that leads to the workload: from now on callers inside the cluster get 403 "RBAC: access denied" unless an AuthorizationPolicy of your own allows them [InternalTrafficBlocked]`
	const noSidecar = `warn: spec.service: Invalid value: "shop/cart": the namespace shop does not inject Istio sidecars, and without one in the Pod nobody asks the authorizer; label the namespace istio-injection=enabled and restart the Pods [SidecarMissing]`
	const guarded, open = `[{extAuth: {authorizers: [corp]}}]`, `[{noAuth: true}]`
	cases := map[string]struct {
		rules string
		facts policy.Facts
		want  []string
	}{
		"all is well":            {guarded, policy.Facts{Registry: closed.WithMesh(&istio.Mesh{Providers: map[string]bool{"corp": true}}), Services: selecting, Restricted: restricted, Namespaces: withLabels("istio-injection", "enabled"), Backends: backend(true, true, true)}, nil},
		"nothing is known of it": {guarded, policy.Facts{Registry: closed}, nil},

		"an authorizer without pathPrefix": {guarded, policy.Facts{Registry: withEntry(istio.Authorizer{Service: "corp.auth.svc.cluster.local", Port: 80}, "Ready")}, []string{
			"warn: " + authorizer + `has no pathPrefix in the Istio CR kyma-system/default: if it is an oauth2-proxy, everybody may call /ping, /ready, /robots.txt and /oauth2/static/* of this host without a token; set its pathPrefix to "/verify?original=" [AuthorizerOpenPaths]`,
		}},
		"an authorizer of which only the name is known": {guarded, policy.Facts{Registry: policy.StaticRegistry("a flag", []string{"corp"})}, nil},

		"an authorizer that the mesh does not have": {guarded, policy.Facts{Registry: closed.WithMesh(&istio.Mesh{})}, []string{
			"warn: " + authorizer + `is registered but not yet in the mesh configuration istio-system/istio, so requests get 403 until the Istio module has applied it; that takes seconds [AuthorizerNotEffective]`,
		}},
		"an authorizer that the mesh has for something else": {guarded, policy.Facts{Registry: closed.WithMesh(&istio.Mesh{Providers: map[string]bool{"corp": false}})}, []string{
			"deny: " + authorizer + `its entry in the Istio CR kyma-system/default is not valid: spec.config.authorizers[0].name: the mesh configuration has another kind of provider with this name; choose another name; every request would get 403 [AuthorizerInvalid]`,
		}},
		"an Istio CR in trouble, and no mesh configuration": {guarded, policy.Facts{Registry: troubled}, []string{
			"warn: " + authorizer + `is registered, but whether it is in force is not known; the Istio CR kyma-system/default is in the state Warning: "its words"; correct that first [AuthorizerNotEffective]`,
		}},
		"an Istio CR in trouble that is in force": {guarded, policy.Facts{Registry: troubled.WithMesh(mesh("corp.auth.svc.cluster.local"))}, nil},
		"an Istio CR in trouble that is not applied": {guarded, policy.Facts{Registry: troubled.WithMesh(&istio.Mesh{})}, []string{
			"warn: " + authorizer + `is registered but not yet in the mesh configuration istio-system/istio, so requests get 403 until the Istio module has applied it; the Istio CR kyma-system/default is in the state Warning: "its words"; correct that first [AuthorizerNotEffective]`,
		}},
		"an entry that changed": {guarded, policy.Facts{Registry: closed.WithMesh(mesh("old.auth.svc.cluster.local"))}, []string{
			"warn: " + authorizer + `is registered, but the mesh configuration istio-system/istio still has an earlier version of the entry, which is the one that is asked; that takes seconds [AuthorizerNotEffective]`,
		}},
		"an entry that the mesh does not take": {guarded, policy.Facts{Registry: withEntry(istio.Authorizer{Service: "corp", Port: 80, PathPrefix: "/v", EmptyTimeout: true}, "Ready")}, []string{
			"deny: " + authorizer + `its entry in the Istio CR kyma-system/default is not valid: spec.config.authorizers[0].service: must be a whole host name, as istiod does not know short names here, for example oauth2-proxy.oauth2-proxy.svc.cluster.local; every request would get 403 [AuthorizerInvalid]`,
		}},
		"an entry that stops the module": {guarded, policy.Facts{Registry: withEntry(istio.Authorizer{Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/v", EmptyTimeout: true}, "Ready")}, []string{
			"warn: " + authorizer + `its entry in the Istio CR kyma-system/default is not valid: spec.config.authorizers[0].timeout: must be a duration, for example "5s"; one that cannot be read makes the Istio module fail for all CRs [AuthorizerInvalid]`,
		}},
		"an entry whose timeout is cut": {guarded, policy.Facts{Registry: withEntry(istio.Authorizer{Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/v", Timeout: "1.5s"}, "Ready")}, nil},

		"an authorizer without its Service": {guarded, policy.Facts{Registry: closed, Backends: backend(false, false, false)}, []string{
			"warn: " + authorizer + `its Service auth/corp does not exist, so every request gets 403; start the authorizer, or correct its entry in the Istio CR kyma-system/default [AuthorizerUnready]`,
		}},
		"an authorizer whose Service lacks the port": {guarded, policy.Facts{Registry: closed, Backends: backend(true, false, true)}, []string{
			"warn: " + authorizer + `its Service auth/corp has no port 80, so every request gets 403; start the authorizer, or correct its entry in the Istio CR kyma-system/default [AuthorizerUnready]`,
		}},
		"an authorizer that is not ready": {guarded, policy.Facts{Registry: closed, Backends: backend(true, true, false)}, []string{
			"warn: " + authorizer + `its Service auth/corp has no ready endpoint, so every request gets 403; start the authorizer, or correct its entry in the Istio CR kyma-system/default [AuthorizerUnready]`,
		}},

		"a Service that is not there": {guarded, policy.Facts{Registry: closed, Services: map[types.NamespacedName]policy.Service{}}, []string{
			`warn: spec.service: Invalid value: "shop/cart": the Service does not exist yet; Kyma reports an error and tries again with growing pauses, so create the Service, and touch the APIRule if it stays in Error [ServiceNotFound]`,
		}},
		"a Service without selector": {guarded, policy.Facts{Registry: closed, Restricted: restricted, Services: map[types.NamespacedName]policy.Service{service("cart"): {}}}, []string{
			`warn: spec.service: Invalid value: "shop/cart": the Service has no selector, so there are no Pods that a policy could protect, and Kyma refuses it; give it a selector [ServiceWithoutSelector]`,
		}},
		"an open rule needs no Service": {open, policy.Facts{Registry: closed, Services: map[types.NamespacedName]policy.Service{}, Namespaces: withLabels()}, nil},

		"a namespace without sidecars":                      {guarded, policy.Facts{Registry: closed, Namespaces: withLabels()}, []string{noSidecar}},
		"a namespace that says no to sidecars":              {guarded, policy.Facts{Registry: closed, Namespaces: withLabels("istio-injection", "disabled", "istio.io/rev", "stable")}, []string{noSidecar}},
		"a namespace with a revision of sidecars":           {guarded, policy.Facts{Registry: closed, Namespaces: withLabels("istio.io/rev", "stable")}, nil},
		"the first rule of a workload":                      {guarded, policy.Facts{Registry: closed, Services: selecting}, []string{first}},
		"the first rule of a workload, an open one":         {open, policy.Facts{Registry: closed, Services: selecting, Namespaces: withLabels("istio-injection", "enabled")}, []string{first}},
		"an open rule without a sidecar that could block":   {open, policy.Facts{Registry: closed, Services: selecting, Namespaces: withLabels()}, nil},
		"a rule that the CRD refuses":                       {`[{noAuth: true, jwt: {}}]`, policy.Facts{Registry: closed, Services: selecting}, nil},
		"the first of two":                                  {`[{extAuth: {authorizers: [corp]}}, {jwt: {}}]`, policy.Facts{Registry: closed, Services: selecting}, []string{first}},
		"the first after an open one":                       {`[{noAuth: true, path: /a}, {jwt: {}}]`, policy.Facts{Registry: closed, Services: selecting}, []string{first}},
		"not the first, because there is somebody else":     {guarded, policy.Facts{Registry: closed, Services: selecting, Restricted: restricted}, nil},
		"what is said of two rules with one Service is one": {`[{jwt: {}}, {jwt: {}}]`, policy.Facts{Registry: closed, Namespaces: withLabels()}, []string{noSidecar}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := checked(t, "spec: {service: {name: cart}, rules: "+tc.rules+"}", tc.facts, policy.DefaultSettings())
			assert.Empty(t, cmp.Diff(tc.want, got))
		})
	}
}

// The first match wins, so an open rule takes away what is behind it.
func TestCheckShadowed(t *testing.T) {
	cases := map[string]struct {
		earlier, later string
		want           bool
	}{
		"the same path":                            {`path: /a, methods: [GET], noAuth: true`, `path: /a, methods: [GET], jwt: {}`, true},
		"more methods":                             {`path: /a, methods: [GET, POST], noAuth: true`, `path: /a, methods: [POST], jwt: {}`, true},
		"a method is left":                         {`path: /a, methods: [GET], noAuth: true`, `path: /a, methods: [GET, POST], jwt: {}`, false},
		"no methods":                               {`path: /a, methods: [GET], noAuth: true`, `path: /a, jwt: {}`, false},
		"another path":                             {`path: /a, methods: [GET], noAuth: true`, `path: /b, methods: [GET], jwt: {}`, false},
		"all paths":                                {`path: "/*", methods: [GET], noAuth: true`, `path: /a/b, methods: [GET], jwt: {}`, true},
		"all paths in other words":                 {`path: "/{**}", methods: [GET], noAuth: true`, `path: "/*", methods: [GET], jwt: {}`, true},
		"all paths behind one":                     {`path: /a, methods: [GET], noAuth: true`, `path: "/*", methods: [GET], jwt: {}`, false},
		"one segment":                              {`path: "/a/{*}", methods: [GET], noAuth: true`, `path: /a/b, methods: [GET], jwt: {}`, true},
		"one segment is not two":                   {`path: "/a/{*}", methods: [GET], noAuth: true`, `path: /a/b/c, methods: [GET], jwt: {}`, false},
		"one segment is not any number":            {`path: "/a/{*}", methods: [GET], noAuth: true`, `path: "/a/{**}", methods: [GET], jwt: {}`, false},
		"one segment is not an empty one":          {`path: "/a/{*}", methods: [GET], noAuth: true`, `path: /a/, methods: [GET], jwt: {}`, false},
		"one segment for one":                      {`path: "/a/{*}", methods: [GET], noAuth: true`, `path: "/a/{*}", methods: [GET], jwt: {}`, true},
		"any number of segments":                   {`path: "/a/{**}", methods: [GET], noAuth: true`, `path: /a/b/c, methods: [GET], jwt: {}`, true},
		"any number of segments elsewhere":         {`path: "/a/{**}", methods: [GET], noAuth: true`, `path: /b/c, methods: [GET], jwt: {}`, false},
		"any number that is not last is not sure":  {`path: "/{**}/a", methods: [GET], noAuth: true`, `path: /b/a, methods: [GET], jwt: {}`, false},
		"a longer path":                            {`path: /a/b, methods: [GET], noAuth: true`, `path: /a, methods: [GET], jwt: {}`, false},
		"a protected rule takes nothing away":      {`path: "/*", methods: [GET], jwt: {}`, `path: /a, methods: [GET], jwt: {}`, false},
		"nothing is taken from an open rule":       {`path: "/*", methods: [GET], noAuth: true`, `path: /a, methods: [GET], noAuth: true`, false},
		"a malformed rule is not called open":      {`path: "/*", methods: [GET], noAuth: 1`, `path: /a, methods: [GET], jwt: {}`, false},
		"a rule that will be injected is open now": {`path: "/*", methods: [GET]`, `path: /a, methods: [GET], jwt: {}`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := parse(t, "spec: {rules: [{"+tc.earlier+"}, {"+tc.later+"}]}")
			var want []string
			if tc.want {
				want = []string{`warn: spec.rules[1].path: Invalid value: "` + view.Rules[1].Path + `": spec.rules[0] has no authorization and matches every request of this rule first, so this rule protects nothing; move this rule before it, or narrow the path "` + view.Rules[0].Path + `" [RuleShadowed]`}
			}
			assert.Empty(t, cmp.Diff(want, sentences(policy.Check(view, policy.Facts{}, policy.DefaultSettings()))))
		})
	}
}
