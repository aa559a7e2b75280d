// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// enforced are facts under which a rule with the authorizer corp is protected.
func enforced() policy.Facts {
	return policy.Facts{
		Registry: policy.NewRegistry(istio.View{Namespace: istio.Namespace, Name: "default", Authorizers: []istio.Authorizer{
			{Name: "corp", Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/v"},
			{Name: "outside", Service: "login.example.com", Port: 443, PathPrefix: "/v"},
		}}).WithMesh(&istio.Mesh{Providers: map[string]bool{"corp": true, "outside": true}}),
		Services:   map[types.NamespacedName]policy.Service{cart(): {Selector: policy.SelectorOf(map[string]string{"app": "cart"}), Ports: []int32{80}}},
		Namespaces: map[string]policy.Namespace{"shop": {Labels: map[string]string{"istio-injection": "enabled"}}},
		Backends:   map[string]policy.Backend{"corp": {Service: types.NamespacedName{Namespace: "auth", Name: "corp"}, Exists: true, HasPort: true, Ready: true}},
	}
}

// judgedRule is an APIRule shop/front with rules for the Service shop/cart.
func judgedRule(t *testing.T, rules string) apirule.View {
	t.Helper()
	return parse(t, `{metadata: {namespace: shop, name: front}, spec: {hosts: [front.example.com], gateway: kyma-system/kyma-gateway, service: {name: cart, port: 80}, rules: `+rules+`}}`)
}

func TestVerdicts(t *testing.T) {
	const guarded = `[{extAuth: {authorizers: [corp]}}]`
	corpOnly := func(edit func(*istio.Authorizer)) policy.Registry {
		entry := istio.Authorizer{Name: "corp", Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/v"}
		edit(&entry)
		return policy.NewRegistry(istio.View{Namespace: istio.Namespace, Name: "default", Authorizers: []istio.Authorizer{entry}}).
			WithMesh(&istio.Mesh{Providers: map[string]bool{"corp": true}})
	}
	trusting := func(facts *policy.Facts, spec string) { facts.Policies = clusterPolicies(t, spec) }
	cases := map[string]struct {
		rules  string
		change func(*policy.Facts, *policy.Settings)
		want   string
		code   policy.Code
	}{
		"an authorizer":                 {rules: guarded, want: "Protected"},
		"an authorizer outside":         {rules: `[{extAuth: {authorizers: [outside]}}]`, want: "Protected"},
		"a jwt":                         {rules: `[{jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}}]`, want: "Protected"},
		"noAuth":                        {rules: `[{noAuth: true}]`, want: `Open: says "noAuth: true"`},
		"no strategy":                   {rules: `[{path: /}]`, want: "Open: has no access strategy"},
		"extAuth without authorizers":   {rules: `[{extAuth: {}}]`, want: "Open: has no access strategy"},
		"two strategies":                {rules: `[{noAuth: true, jwt: {}}]`, want: "Unknown: the access strategy cannot be read"},
		"no rules":                      {rules: `[]`, want: "Unknown: no rule can be read"},
		"one open rule among protected": {rules: `[{path: /a, methods: [GET], extAuth: {authorizers: [corp]}}, {path: /b, methods: [GET], noAuth: true}]`, want: `Open: says "noAuth: true"`},
		"an open rule in front": {
			rules: `[{path: "/*", methods: [GET], noAuth: true}, {path: /a, methods: [GET], extAuth: {authorizers: [corp]}}]`,
			want:  "NotEnforced: spec.rules[0] is open and matches first", code: policy.RuleShadowed,
		},
		"no sidecars": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Namespaces = map[string]policy.Namespace{"shop": {}}
			},
			want: "NotEnforced: namespace shop injects no sidecars", code: policy.SidecarMissing,
		},
		"a jwt without sidecars": {
			rules: `[{jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}}]`,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Namespaces = map[string]policy.Namespace{"shop": {}}
			},
			want: "NotEnforced: namespace shop injects no sidecars", code: policy.SidecarMissing,
		},
		"no selector": {
			rules: guarded,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Services = map[types.NamespacedName]policy.Service{cart(): {}}
			},
			want: "NotEnforced: Service shop/cart has no selector; Kyma refuses it", code: policy.ServiceWithoutSelector,
		},
		"no Service": {
			rules: guarded,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Services = map[types.NamespacedName]policy.Service{}
			},
			want: "Unknown: the Service shop/cart does not exist",
		},
		"a Service that is elsewhere": {
			rules: guarded,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Services, facts.Partial = map[types.NamespacedName]policy.Service{}, true
			},
			want: "Unknown: the Service shop/cart is not known",
		},
		"a namespace that nobody looked at": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) { facts.Namespaces = nil },
			want: "Unknown: the labels of the namespace shop are not known",
		},
		"a registry that is not known": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) { facts.Registry = policy.UnknownRegistryBecause("no CR") },
			want: "Unknown: the registered authorizers are not known: no CR",
		},
		"an authorizer that is not registered": {
			rules: `[{extAuth: {authorizers: [other]}}]`, want: `Blocked: "other" is not registered; every request gets 403`, code: policy.AuthorizerNotRegistered,
		},
		"an entry that istiod refuses": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Registry = corpOnly(func(entry *istio.Authorizer) { entry.Service = "corp" })
			},
			want: "Blocked: its entry in the Istio CR is not valid: spec.config.authorizers[0].service; every request gets 403", code: policy.AuthorizerInvalid,
		},
		"an authorizer that the mesh lacks": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) { facts.Registry = facts.Registry.WithMesh(&istio.Mesh{}) },
			want: `Blocked: "corp" is not in force yet`, code: policy.AuthorizerNotEffective,
		},
		"a mesh that is not known": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) { facts.Registry = facts.Registry.WithMesh(nil) },
			want: `Unknown: whether the mesh has "corp" is not known`,
		},
		"a mesh that has an earlier version": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Registry = facts.Registry.WithMesh(&istio.Mesh{
					Providers: map[string]bool{"corp": true},
					HTTP:      map[string]istio.Provider{"corp": {Service: "old.auth.svc.cluster.local", Port: 80, PathPrefix: "/v"}},
				})
			},
			want: `Unknown: the mesh still has an earlier version of "corp"`,
		},
		"an authorizer without endpoints": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Backends = map[string]policy.Backend{"corp": {Service: types.NamespacedName{Namespace: "auth", Name: "corp"}, Exists: true, HasPort: true}}
			},
			want: "Blocked: its Service auth/corp has no ready endpoint", code: policy.AuthorizerUnready,
		},
		"an authorizer of which nobody looked": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) { facts.Backends = nil },
			want: `Unknown: whether "corp" can answer is not known`,
		},
		"two authorizers in a rule": {
			rules: `[{extAuth: {authorizers: [corp, outside]}}]`, want: `Blocked: "corp" from this rule acts on the same workload`, code: policy.AuthorizerConflict,
		},
		"two authorizers that the mesh allows": {
			rules:  `[{extAuth: {authorizers: [corp, outside]}}]`,
			change: func(_ *policy.Facts, settings *policy.Settings) { settings.SeveralAuthorizers = true }, want: "Protected",
		},
		"another authorizer in a later rule": {
			rules: `[{path: /a, extAuth: {authorizers: [corp]}}, {path: /b, extAuth: {authorizers: [outside]}}]`,
			want:  `Blocked: "outside" from spec.rules[1] acts on the same workload`, code: policy.AuthorizerConflict,
		},
		"another authorizer on the workload": {
			rules: guarded, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{cart(): {{Object: "APIRule shop/other", Authorizer: "outside"}}}
			},
			want: `Blocked: "outside" from APIRule shop/other acts on the same workload`, code: policy.AuthorizerConflict,
		},
		"a jwt of an issuer that a policy accepts": {
			rules: `[{jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}}]`,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				trusting(facts, `{mode: Enforce, require: {jwt: {issuers: ["https://a"]}}}`)
			},
			want: "Protected",
		},
		"a jwt of an issuer that a policy does not accept": {
			rules: `[{jwt: {authentications: [{issuer: "https://evil", jwksUri: "https://evil/keys"}]}}]`,
			change: func(facts *policy.Facts, _ *policy.Settings) {
				trusting(facts, `{mode: Enforce, require: {jwt: {issuers: ["https://a"]}}}`)
			},
			want: "Open: takes tokens of an issuer that the ExtAuthPolicy p0 does not accept", code: policy.PolicyViolation,
		},
		"nobody asks a wrong authorizer": {
			rules: `[{extAuth: {authorizers: [other]}}]`, change: func(facts *policy.Facts, _ *policy.Settings) {
				facts.Namespaces = map[string]policy.Namespace{"shop": {}}
			},
			want: "NotEnforced: namespace shop injects no sidecars", code: policy.SidecarMissing,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts, settings := enforced(), policy.DefaultSettings()
			if tc.change != nil {
				tc.change(&facts, &settings)
			}
			judged := policy.Judge(judgedRule(t, tc.rules), facts, settings)
			got := string(judged.Verdict.Verdict)
			if judged.Verdict.Why != "" {
				got += ": " + judged.Verdict.Why
			}
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.code, judged.Verdict.Code)
			assert.Equal(t, judged.Verdict.Verdict == policy.Protected, judged.Verdict.Fix() == "", "what is not protected has a fix")
		})
	}
}

// Both rules are blocked, although the finding is on the later one only.
func TestVerdictsOfRules(t *testing.T) {
	judged := policy.Judge(judgedRule(t, `[{path: /a, extAuth: {authorizers: [corp]}}, {path: /b, extAuth: {authorizers: [outside]}}, {path: /c, noAuth: true}]`), enforced(), policy.DefaultSettings())
	var verdicts []policy.Verdict
	for _, one := range judged.Rules {
		verdicts = append(verdicts, one.Verdict)
	}
	assert.Equal(t, []policy.Verdict{policy.Blocked, policy.Blocked, policy.Open}, verdicts)
	assert.Equal(t, policy.Open, judged.Verdict.Verdict, "the worst")
}

// A verdict holds whether or not this project leaves the APIRule alone.
func TestVerdictsWhereNothingIsSaid(t *testing.T) {
	view := judgedRule(t, `[{noAuth: true}, {path: /b, extAuth: {authorizers: [corp]}}]`)
	settings := policy.DefaultSettings()
	settings.ExcludedNamespaces = map[string]bool{"shop": true}
	judged := policy.Judge(view, enforced(), settings)
	assert.Empty(t, judged.Findings)
	assert.Equal(t, policy.Open, judged.Verdict.Verdict)

	view.Excess = []apirule.Excess{{}}
	view.Rules = view.Rules[1:]
	judged = policy.Judge(view, enforced(), policy.DefaultSettings())
	assert.Equal(t, policy.Unknown, judged.Verdict.Verdict, "what is not read may be open")
}

func TestCompareVerdicts(t *testing.T) {
	all := policy.Verdicts()
	require.Len(t, all, 5)
	for i, one := range all {
		for j, other := range all {
			assert.Equal(t, i < j, one.Compare(other) < 0)
		}
		assert.NotEmpty(t, one.Text())
		assert.Negative(t, policy.Verdict("typo").Compare(one))
	}
}

// What Judge says is what Check, Inject and Assess say.
func TestJudgeIsCheckAndAssess(t *testing.T) {
	facts := enforced()
	facts.Policies = clusterPolicies(t, `{mode: Enforce, require: {}}`)
	view := judgedRule(t, `[{noAuth: true}, {path: /b, extAuth: {authorizers: [other]}}]`)
	judged := policy.Judge(view, facts, policy.DefaultSettings())
	assert.Equal(t, policy.Check(view, facts, policy.DefaultSettings()), judged.Findings)
	assert.Equal(t, policy.Assess(view, facts, policy.DefaultSettings()), judged.Assessments)
	require.NotEmpty(t, judged.Assessments)
}

// Whoever comes from another namespace cannot keep the owner of a Service from protecting
// it; the other side is told that it is at fault.
func TestConflictsWithAnotherNamespace(t *testing.T) {
	for name, tc := range map[string]struct {
		namespace string
		foreign   bool
		want      policy.Severity
	}{
		"the owner, and somebody else was first":     {"shop", true, policy.Warn},
		"the owner, and another APIRule of his":      {"shop", false, policy.Deny},
		"somebody else, and the owner was first":     {"far", false, policy.Deny},
		"somebody else, and somebody else was first": {"far", true, policy.Deny},
	} {
		t.Run(name, func(t *testing.T) {
			view := judgedRule(t, `[{extAuth: {authorizers: [corp]}}]`)
			view.Namespace = tc.namespace
			view.Rules[0].Service.Namespace = "shop"
			facts := enforced()
			facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{cart(): {{Object: "APIRule x/other", Authorizer: "outside", Foreign: tc.foreign}}}
			judged := policy.Judge(view, facts, policy.DefaultSettings())
			assert.Equal(t, policy.Blocked, judged.Verdict.Verdict)
			require.NotEmpty(t, judged.Findings)
			assert.Equal(t, policy.AuthorizerConflict, judged.Findings[0].Code)
			assert.Equal(t, tc.want, judged.Findings[0].Severity)
		})
	}
}
