// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Each key is resolved on its own, nearest first: APIRule, effective Service,
// namespace, default.
func TestPrecedence(t *testing.T) {
	cases := map[string]struct {
		apirule, service, namespace map[string]string
		rule                        string // open if empty
		want                        policy.Outcome
		wantAuthorizers             []string
	}{
		"nobody asked": {
			want: policy.Outcome{Reason: policy.NotRequested},
		},
		"the APIRule asks": {
			apirule: ours("inject", "true"),
			want:    policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"the Service asks": {
			service: ours("inject", "true"),
			want:    policy.Outcome{Reason: policy.Injected, From: "Service shop/cart"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"the namespace asks": {
			namespace: ours("inject", "true"),
			want:      policy.Outcome{Reason: policy.Injected, From: "Namespace"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"all ask, and the nearest counts": {
			apirule: ours("inject", "true"), service: ours("inject", "true"), namespace: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"the APIRule says no to its Service": {
			apirule: ours("inject", "false"), service: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.NotRequested, From: "APIRule"},
		},
		"the APIRule says no to its namespace": {
			apirule: ours("inject", "false"), namespace: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.NotRequested, From: "APIRule"},
		},
		"the Service says no to the namespace": {
			service: ours("inject", "false"), namespace: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.NotRequested, From: "Service shop/cart"},
		},
		"the APIRule says yes although both others say no": {
			apirule: ours("inject", "true"), service: ours("inject", "false"), namespace: ours("inject", "false"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"naming authorizers is asking": {
			apirule: ours("authorizers", "corp"),
			want:    policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"corp"},
		},
		"naming authorizers is asking, also against a namespace that says no": {
			service: ours("authorizers", "corp"), namespace: ours("inject", "false"),
			want: policy.Outcome{Reason: policy.Injected, From: "Service shop/cart"}, wantAuthorizers: []string{"corp"},
		},
		"naming authorizers far away is not asking against a near no": {
			apirule: ours("inject", "false"), namespace: ours("authorizers", "corp"),
			want: policy.Outcome{Reason: policy.NotRequested, From: "APIRule"},
		},
		"names under an own no are there for who asks nearer": {
			apirule: ours("inject", "true"), namespace: ours("inject", "false", "authorizers", "corp"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"corp"},
		},
		"who asks near may be told the names farther away": {
			apirule: ours("inject", "true"), service: ours("authorizers", "corp,legacy"), namespace: ours("authorizers", "far"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"corp", "legacy"},
		},
		"the nearest names count": {
			apirule: ours("authorizers", "near"), service: ours("authorizers", "middle"), namespace: ours("authorizers", "far"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"near"},
		},
		"the APIRule allows to replace what its namespace protects": {
			rule: `{noAuth: true}`, apirule: ours("replace", "noAuth"), namespace: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.Injected, From: "Namespace"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"the Service allows to replace what the APIRule protects": {
			rule: `{noAuth: true}`, apirule: ours("inject", "true"), service: ours("replace", "noAuth"),
			want: policy.Outcome{Reason: policy.Injected, From: "APIRule"}, wantAuthorizers: []string{"oauth2-proxy"},
		},
		"the nearest replace counts, and is not added to a farther one": {
			rule: `{noAuth: true}`, apirule: ours("inject", "true", "replace", "jwt"), namespace: ours("replace", "noAuth"),
			want: policy.Outcome{Reason: policy.LeftOpen, From: "APIRule"},
		},
		"a malformed APIRule is not asked around": {
			apirule: ours("inject", "yes"), namespace: ours("inject", "true"),
			want: policy.Outcome{Reason: policy.AnnotationInvalid},
		},
		"a malformed Service stops what the APIRule asks": {
			apirule: ours("inject", "true"), service: ours("replace", "all"),
			want: policy.Outcome{Reason: policy.AnnotationInvalid},
		},
		"a malformed namespace stops what the APIRule asks": {
			apirule: ours("inject", "true"), namespace: ours("injet", "true"),
			want: policy.Outcome{Reason: policy.AnnotationInvalid},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rule := tc.rule
			if rule == "" {
				rule = "{}"
			}
			view := parse(t, "spec: {service: {name: cart}, rules: ["+rule+"]}")
			view.Annotations = tc.apirule
			facts := policy.Facts{
				Registry:   registered("oauth2-proxy"),
				Services:   map[types.NamespacedName]policy.Service{service("cart"): {Annotations: tc.service}},
				Namespaces: map[string]policy.Namespace{"shop": {Annotations: tc.namespace}},
			}
			injection := policy.Inject(view, facts, policy.DefaultSettings())
			assert.Empty(t, injection.Skipped)
			assert.Empty(t, cmp.Diff([]policy.Outcome{tc.want}, injection.Outcomes))
			assert.Equal(t, tc.want.Reason == policy.AnnotationInvalid, policy.Denies(injection.Findings))
			if tc.wantAuthorizers == nil {
				assert.True(t, injection.Edits.Empty())
				return
			}
			require.Len(t, injection.Edits.Rules, 1)
			assert.Equal(t, tc.wantAuthorizers, injection.Edits.Rules[0].Authorizers)
			require.NotNil(t, injection.Edits.Provenance)
			assert.Equal(t, []annotation.Provenance{{Rule: 0, Authorizers: tc.wantAuthorizers, From: tc.want.From}},
				annotation.ParseProvenance(*injection.Edits.Provenance))
		})
	}
}

func TestIntentWithoutFacts(t *testing.T) {
	view := parse(t, "{metadata: {annotations: {extauth-guard.io/inject: 'true'}}, spec: {rules: [{}]}}")
	injection := policy.Inject(view, policy.Facts{}, policy.DefaultSettings())
	assert.Equal(t, policy.Injected, injection.Outcomes[0].Reason, "what the APIRule says needs nobody else")
	assert.Equal(t, policy.NotRequested, policy.Inject(parse(t, "spec: {rules: [{}]}"), policy.Facts{}, policy.DefaultSettings()).Outcomes[0].Reason)
}

func TestDefaultAuthorizersAreConfigured(t *testing.T) {
	view := parse(t, "{metadata: {annotations: {extauth-guard.io/inject: 'true'}}, spec: {rules: [{}]}}")
	injection := policy.Inject(view, policy.Facts{}, policy.Settings{DefaultAuthorizers: []string{"corp"}})
	require.Len(t, injection.Edits.Rules, 1)
	assert.Equal(t, []string{"corp"}, injection.Edits.Rules[0].Authorizers)
}

// A rule is the unit: two rules resolve differently when their Services differ,
// and the Services that count are the effective ones, in Kyma's order.
func TestRulesResolveByTheirServices(t *testing.T) {
	view := parse(t, `
spec:
  service: {name: cart, namespace: far}
  rules:
  - {}
  - {service: {name: pay}}
  - {service: {name: pay, namespace: near}}
  - {service: {name: gone}}
`)
	in := func(namespace, name string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	facts := policy.Facts{Services: map[types.NamespacedName]policy.Service{
		in("far", "cart"): {Annotations: ours("inject", "true")},
		in("far", "pay"):  {Annotations: ours("authorizers", "corp")},
		in("near", "pay"): {Annotations: ours("inject", "false")},
		in("shop", "pay"): {Annotations: ours("authorizers", "wrong")},
	}}
	injection := policy.Inject(view, facts, policy.DefaultSettings())
	assert.Empty(t, cmp.Diff([]policy.Outcome{
		{Rule: 0, Reason: policy.Injected, From: "Service far/cart", Foreign: true},
		{Rule: 1, Reason: policy.Injected, From: "Service far/pay", Foreign: true},
		{Rule: 2, Reason: policy.NotRequested, From: "Service near/pay", Foreign: true},
		{Rule: 3, Reason: policy.NotRequested},
	}, injection.Outcomes))
	assert.Empty(t, cmp.Diff([]apirule.Edit{
		{Rule: 0, Replaces: apirule.Open, Authorizers: []string{"oauth2-proxy"}},
		{Rule: 1, Replaces: apirule.Open, Authorizers: []string{"corp"}},
	}, injection.Edits.Rules))
}

// The matrix of strategies: each row without replace and with the matching one.
func TestStrategies(t *testing.T) {
	const jwt = `{authentications: [{issuer: i, jwksUri: u, big: 12345678901234567}], authorizations: [{audiences: [a]}]}`
	cases := map[string]struct {
		rule        string
		replace     string
		want        policy.Reason
		wantRule    string // as before if empty
		wantWarning bool
	}{
		"no strategy":                                {`{path: /a}`, "", policy.Injected, `{path: /a, extAuth: {authorizers: [corp]}}`, false},
		"no strategy, all may be replaced":           {`{path: /a}`, "noAuth,jwt", policy.Injected, `{path: /a, extAuth: {authorizers: [corp]}}`, false},
		"noAuth false":                               {`{noAuth: false}`, "", policy.Injected, `{noAuth: false, extAuth: {authorizers: [corp]}}`, false},
		"noAuth false, noAuth may be replaced":       {`{noAuth: false}`, "noAuth", policy.Injected, `{noAuth: false, extAuth: {authorizers: [corp]}}`, false},
		"extAuth without authorizers":                {`{extAuth: {restrictions: {a: b}}}`, "", policy.Injected, `{extAuth: {authorizers: [corp], restrictions: {a: b}}}`, false},
		"extAuth with empty authorizers":             {`{extAuth: {authorizers: []}}`, "noAuth,jwt", policy.Injected, `{extAuth: {authorizers: [corp]}}`, false},
		"extAuth with authorizers null":              {`{extAuth: {authorizers: null}}`, "", policy.Injected, `{extAuth: {authorizers: [corp]}}`, false},
		"extAuth with authorizers":                   {`{extAuth: {authorizers: [legacy]}}`, "", policy.AlreadyProtected, "", false},
		"extAuth with authorizers, all replaceable":  {`{extAuth: {authorizers: [legacy]}}`, "noAuth,jwt", policy.AlreadyProtected, "", false},
		"noAuth true":                                {`{noAuth: true}`, "", policy.LeftOpen, "", true},
		"noAuth true, only jwt may be replaced":      {`{noAuth: true}`, "jwt", policy.LeftOpen, "", true},
		"noAuth true, and may be replaced":           {`{noAuth: true, path: /a}`, "noAuth", policy.Injected, `{path: /a, extAuth: {authorizers: [corp]}}`, false},
		"noAuth true, both may be replaced":          {`{noAuth: true}`, "jwt,noAuth", policy.Injected, `{extAuth: {authorizers: [corp]}}`, false},
		"jwt":                                        {`{jwt: ` + jwt + `}`, "", policy.AlreadyProtected, "", false},
		"jwt, only noAuth may be replaced":           {`{jwt: ` + jwt + `}`, "noAuth", policy.AlreadyProtected, "", false},
		"jwt, and may be replaced":                   {`{jwt: ` + jwt + `}`, "jwt", policy.Injected, `{extAuth: {authorizers: [corp], restrictions: ` + jwt + `}}`, false},
		"jwt and noAuth are for the CRD to refuse":   {`{jwt: ` + jwt + `, noAuth: true}`, "noAuth,jwt", policy.MalformedRule, "", false},
		"a wrong type is for the CRD to refuse":      {`{extAuth: {authorizers: corp}}`, "noAuth,jwt", policy.MalformedRule, "", false},
		"a rule of a wrong type is for it as well":   {`text`, "noAuth,jwt", policy.MalformedRule, "", false},
		"extAuth and jwt are for the CRD to refuse":  {`{jwt: {}, extAuth: {authorizers: [a]}}`, "jwt", policy.MalformedRule, "", false},
		"nothing is made of what nobody understands": {`{noAuth: "true"}`, "noAuth", policy.MalformedRule, "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw := toJSON(t, "{metadata: {name: a}, spec: {rules: [{path: /before, extAuth: {authorizers: [corp]}}, "+tc.rule+"]}}")
			view := apirule.Parse(decode(t, raw), "shop")
			view.Annotations = ours("authorizers", "corp")
			if tc.replace != "" {
				view.Annotations[annotation.Replace] = tc.replace
			}
			facts := policy.Facts{Registry: registered("corp", "legacy", "a")}
			injection := policy.Inject(view, facts, policy.DefaultSettings())
			require.Len(t, injection.Outcomes, 2)
			assert.Equal(t, policy.AlreadyProtected, injection.Outcomes[0].Reason)
			assert.Equal(t, tc.want, injection.Outcomes[1].Reason)
			assert.Empty(t, injection.Findings)

			patched, err := apirule.Apply(raw, apirule.JSONPatch(view, apirule.Edits{Rules: injection.Edits.Rules}))
			require.NoError(t, err)
			want := tc.wantRule
			if want == "" {
				want = tc.rule
			}
			assert.Empty(t, cmp.Diff(exact(t, toJSON(t, "{metadata: {name: a}, spec: {rules: [{path: /before, extAuth: {authorizers: [corp]}}, "+want+"]}}")), exact(t, patched)))

			codes := policy.Codes(policy.Check(view, facts, policy.DefaultSettings()))
			assert.Equal(t, tc.wantWarning, len(codes) == 1 && codes[0] == string(policy.RuleLeftOpen), "%v", codes)
		})
	}
}

// What is skipped is neither injected nor denied, whatever is wrong with it.
func TestSkipped(t *testing.T) {
	const wrong = "spec: {service: {name: proxy}, rules: [{}, {noAuth: true}, {extAuth: {authorizers: [ouath2-proxy]}}]}"
	legacy := parse(t, "metadata: {annotations: {gateway.kyma-project.io/original-version: v1beta1, extauth-guard.io/inject: maybe}}")
	asking := func(change func(*apirule.View)) apirule.View {
		view := parse(t, wrong)
		view.Annotations = ours("inject", "true")
		change(&view)
		return view
	}
	cases := map[string]struct {
		view     apirule.View
		settings policy.Settings
		want     policy.Reason
	}{
		"an object being deleted": {
			view: asking(func(v *apirule.View) { v.Deleting = true }), want: policy.Deleting,
		},
		"an object of v1beta1 that has no rules in v2": {view: legacy, want: policy.LegacyObject},
		"an object of another controller": {
			view: asking(func(v *apirule.View) {
				v.Controller = &apirule.Owner{APIVersion: "eventing.kyma-project.io/v1alpha2", Kind: "Subscription", Name: "s"}
			}),
			want: policy.ControllerOwned,
		},
		"a Service of another API group is another controller": {
			view: asking(func(v *apirule.View) {
				v.Controller = &apirule.Owner{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "s"}
			}),
			want: policy.ControllerOwned,
		},
		"a namespace that the configuration excludes": {
			view:     asking(func(*apirule.View) {}),
			settings: policy.Settings{ExcludedNamespaces: map[string]bool{"shop": true}}, want: policy.NamespaceExcluded,
		},
		"an excluded namespace with a malformed annotation": {
			view:     asking(func(v *apirule.View) { v.Annotations = ours("inject", "maybe") }),
			settings: policy.Settings{ExcludedNamespaces: map[string]bool{"shop": true}}, want: policy.NamespaceExcluded,
		},
		"deleting comes first": {
			view: asking(func(v *apirule.View) { v.Deleting = true; v.Controller = &apirule.Owner{Kind: "Subscription"} }), want: policy.Deleting,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			settings := policy.DefaultSettings()
			settings.ExcludedNamespaces = tc.settings.ExcludedNamespaces
			injection := policy.Inject(tc.view, policy.Facts{Registry: registered("oauth2-proxy")}, settings)
			assert.Empty(t, cmp.Diff(policy.Injection{Skipped: tc.want}, injection))
			assert.False(t, policy.Denies(policy.Check(tc.view, policy.Facts{Registry: registered("oauth2-proxy")}, settings)))
		})
	}
}

func TestNotSkipped(t *testing.T) {
	asking := parse(t, "{metadata: {annotations: {extauth-guard.io/inject: 'true'}}, spec: {service: {name: cart}, rules: [{}]}}")
	cases := map[string]func(*apirule.View, *policy.Settings){
		"an APIRule of a Service, which is ours": func(v *apirule.View, _ *policy.Settings) {
			v.Controller = &apirule.Owner{APIVersion: "v1", Kind: "Service", Name: "cart"}
		},
		"another namespace than the excluded one": func(_ *apirule.View, s *policy.Settings) {
			s.ExcludedNamespaces = map[string]bool{"kyma-system": true, "shop": false}
		},
		"an object of v1beta1 that has rules": func(v *apirule.View, _ *policy.Settings) { v.OriginalVersion = "v1beta1" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			view, settings := asking, policy.DefaultSettings()
			change(&view, &settings)
			injection := policy.Inject(view, policy.Facts{}, settings)
			assert.Empty(t, injection.Skipped)
			assert.Len(t, injection.Edits.Rules, 1)
			assert.True(t, policy.Denies(policy.Check(view, policy.Facts{}, settings)), "the rule is open")
		})
	}
}

// The rule that exposes the Service of an authorizer is never injected and
// nothing is denied on it: its login would need a login.
func TestAuthorizerFrontend(t *testing.T) {
	registry := policy.NewRegistry(istio.View{Authorizers: []istio.Authorizer{{Name: "oauth2-proxy", Service: "proxy.shop.svc.cluster.local"}}})
	cases := map[string]struct {
		rules, apirule string
		service        map[string]string
		want           []policy.Reason
		wantFindings   []string
	}{
		"open": {
			`[{}]`, "true", nil, []policy.Reason{policy.AuthorizerFrontend}, nil,
		},
		"noAuth": {
			`[{noAuth: true}]`, "true", nil, []policy.Reason{policy.AuthorizerFrontend}, nil,
		},
		"with a name that is not registered": {
			`[{extAuth: {authorizers: [corp]}}]`, "true", nil, []policy.Reason{policy.AuthorizerFrontend}, []string{"warn AuthorizerNotRegistered spec.rules[0].extAuth.authorizers[0]"},
		},
		"with an annotation that nobody can read": {
			`[{noAuth: true}]`, "maybe", nil, []policy.Reason{policy.AuthorizerFrontend}, []string{"warn InvalidAnnotation metadata.annotations[extauth-guard.io/inject]"},
		},
		"with an annotation of the Service that nobody can read": {
			`[{noAuth: true}]`, "true", ours("inject", "maybe"), []policy.Reason{policy.AuthorizerFrontend}, []string{"warn InvalidAnnotation spec.service"},
		},
		"beside a rule that is no front": {
			`[{noAuth: true}, {service: {name: cart}}]`, "true", nil, []policy.Reason{policy.AuthorizerFrontend, policy.Injected}, []string{"deny InjectionMissing spec.rules[1]"},
		},
		"beside a rule that is no front, with an annotation that nobody can read": {
			`[{noAuth: true}, {service: {name: cart}}]`, "maybe", ours("inject", "maybe"),
			[]policy.Reason{policy.AuthorizerFrontend, policy.AnnotationInvalid},
			[]string{"deny InvalidAnnotation metadata.annotations[extauth-guard.io/inject]", "warn InvalidAnnotation spec.service"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := parse(t, "{metadata: {annotations: {extauth-guard.io/inject: '"+tc.apirule+"'}}, spec: {service: {name: proxy}, rules: "+tc.rules+"}}")
			facts := policy.Facts{Registry: registry}
			if tc.service != nil {
				facts.Services = map[types.NamespacedName]policy.Service{service("proxy"): {Annotations: tc.service}}
			}
			var reasons []policy.Reason
			injection := policy.Inject(view, facts, policy.DefaultSettings())
			for _, outcome := range injection.Outcomes {
				reasons = append(reasons, outcome.Reason)
			}
			assert.Equal(t, tc.want, reasons)
			var found []string
			for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
				found = append(found, string(finding.Severity)+" "+string(finding.Code)+" "+finding.Err.Field)
			}
			assert.Equal(t, tc.wantFindings, found)
			assert.Equal(t, len(tc.want) > 1 && tc.apirule == "maybe", policy.Denies(injection.Findings))
		})
	}
}

func TestProvenance(t *testing.T) {
	const asking = "extauth-guard.io/inject: 'true'"
	record := func(rule int, from string, names ...string) annotation.Provenance {
		return annotation.Provenance{Rule: rule, Authorizers: names, From: from}
	}
	cases := map[string]struct {
		before string // the value of the annotation; none if empty
		rules  string
		want   []annotation.Provenance
		stays  bool
		goes   bool
	}{
		"nothing injected and nothing recorded": {rules: `[{jwt: {}}]`, stays: true},
		"the first injection":                   {rules: `[{jwt: {}}, {}]`, want: []annotation.Provenance{record(1, "APIRule", "oauth2-proxy")}},
		"an earlier injection is kept beside a new one, in the order of the rules": {
			before: `[{"rule":1,"authorizers":["corp"],"from":"Namespace"}]`,
			rules:  `[{}, {extAuth: {authorizers: [corp]}}, {}]`,
			want:   []annotation.Provenance{record(0, "APIRule", "oauth2-proxy"), record(1, "Namespace", "corp"), record(2, "APIRule", "oauth2-proxy")},
		},
		"an earlier injection stays as it is": {
			before: `[{"rule":0,"authorizers":["corp"],"from":"Namespace"}]`, rules: `[{extAuth: {authorizers: [corp]}}]`, stays: true,
		},
		"the record of a rule whose authorizers were changed goes": {
			before: `[{"rule":0,"authorizers":["corp"],"from":"Namespace"}]`, rules: `[{extAuth: {authorizers: [other]}}]`, goes: true,
		},
		"the record of a rule that is gone goes": {
			before: `[{"rule":1,"authorizers":["corp"],"from":"Namespace"}]`, rules: `[{jwt: {}}]`, goes: true,
		},
		"the record of a rule that cannot be goes": {
			before: `[{"rule":-1,"authorizers":["corp"],"from":"Namespace"}]`, rules: `[{jwt: {}}]`, goes: true,
		},
		"a record of nothing goes": {
			before: `[{"rule":0,"authorizers":[],"from":"Namespace"}]`, rules: `[{jwt: {}}]`, goes: true,
		},
		"what somebody else wrote goes": {before: "forged", rules: `[{jwt: {}}]`, goes: true},
		"a forged record of a rule that is injected is replaced": {
			before: `[{"rule":0,"authorizers":["corp"],"from":"me"}]`, rules: `[{}]`, want: []annotation.Provenance{record(0, "APIRule", "oauth2-proxy")},
		},
		"of two records of one rule the first stays": {
			before: `[{"rule":0,"authorizers":["corp"],"from":"first"},{"rule":0,"authorizers":["corp"],"from":"second"}]`,
			rules:  `[{extAuth: {authorizers: [corp]}}]`, want: []annotation.Provenance{record(0, "first", "corp")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := parse(t, "{metadata: {annotations: {"+asking+"}}, spec: {rules: "+tc.rules+"}}")
			if tc.before != "" {
				view.Annotations[annotation.Injected] = tc.before
			}
			got := policy.Inject(view, policy.Facts{}, policy.DefaultSettings()).Edits.Provenance
			if tc.stays {
				assert.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, tc.goes, *got == "")
			assert.Empty(t, cmp.Diff(tc.want, annotation.ParseProvenance(*got)))
		})
	}
}

// The record that we write is never read for a decision.
func TestProvenanceDecidesNothing(t *testing.T) {
	view := parse(t, "spec: {rules: [{}, {noAuth: true}]}")
	view.Annotations = map[string]string{annotation.Injected: `[{"rule":0,"authorizers":["corp"],"from":"APIRule"}]`}
	injection := policy.Inject(view, policy.Facts{}, policy.DefaultSettings())
	assert.Empty(t, injection.Edits.Rules)
	assert.Empty(t, policy.Check(view, policy.Facts{}, policy.DefaultSettings()))
}
