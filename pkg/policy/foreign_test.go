// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// An APIRule of tenant-a in front of a Service of tenant-b: nobody can expose
// another team's Service more openly than that team says.
func TestForeignService(t *testing.T) {
	const (
		noAuth  = "noAuth: true"
		jwt     = "jwt: {authentications: [{issuer: https://attacker.example}]}"
		extAuth = "extAuth: {authorizers: [corp]}"
		nothing = ""
	)
	asks := ours("inject", "true")
	cases := map[string]struct {
		rule                         string
		apirule, service, owner, own map[string]string
		wantReason                   policy.Reason
		wantFrom                     string
		wantAuthorizers              []string
		want                         string // the code of the denial, "" for none
		wantForeign                  bool
	}{
		"nobody asks": {rule: noAuth, wantReason: policy.NotRequested},
		"the owner's namespace asks, and the rule is open": {
			rule: nothing, owner: asks, wantReason: policy.Injected, wantFrom: "Namespace tenant-b", wantAuthorizers: []string{"oauth2-proxy"}, wantForeign: true, want: "InjectionMissing",
		},
		"the owner's namespace asks, and the rule says noAuth": {
			rule: noAuth, owner: asks, wantReason: policy.LeftOpen, wantFrom: "Namespace tenant-b", wantForeign: true, want: "ForeignServiceOpen",
		},
		"the owner allows replacing noAuth": {
			rule: noAuth, owner: ours("inject", "true", "replace", "noAuth"), wantReason: policy.Injected, wantFrom: "Namespace tenant-b", wantAuthorizers: []string{"oauth2-proxy"}, wantForeign: true, want: "InjectionMissing",
		},
		"the APIRule may not opt out": {
			rule: noAuth, owner: asks, apirule: ours("inject", "false"), wantReason: policy.LeftOpen, wantFrom: "Namespace tenant-b", wantForeign: true, want: "ForeignServiceOpen",
		},
		"nor may the namespace of the APIRule": {
			rule: noAuth, service: asks, own: ours("inject", "false"), wantReason: policy.LeftOpen, wantFrom: "Service tenant-b/web", wantForeign: true, want: "ForeignServiceOpen",
		},
		"what may be replaced is for the owner to say": {
			rule: noAuth, service: asks, apirule: ours("replace", "noAuth"), own: ours("replace", "noAuth"), wantReason: policy.LeftOpen, wantFrom: "Service tenant-b/web", wantForeign: true, want: "ForeignServiceOpen",
		},
		"a jwt of the APIRule's choice protects nothing of the owner": {
			rule: jwt, owner: asks, wantReason: policy.AlreadyProtected, wantFrom: "Namespace tenant-b", wantForeign: true, want: "ForeignServiceOpen",
		},
		"authorizers in the rule are what the owner asks for": {
			rule: extAuth, owner: asks, wantReason: policy.AlreadyProtected, wantFrom: "Namespace tenant-b", wantForeign: true,
		},
		"the owner's authorizers come before those of the APIRule": {
			rule: nothing, apirule: ours("authorizers", "corp"), service: ours("authorizers", "oauth2-proxy"),
			wantReason: policy.Injected, wantFrom: "Service tenant-b/web", wantAuthorizers: []string{"oauth2-proxy"}, wantForeign: true, want: "InjectionMissing",
		},
		"the APIRule may name them where the owner does not": {
			rule: nothing, apirule: ours("authorizers", "corp"), owner: asks,
			wantReason: policy.Injected, wantFrom: "Namespace tenant-b", wantAuthorizers: []string{"corp"}, wantForeign: true, want: "InjectionMissing",
		},
		"the Service is nearer than its namespace": {
			rule: noAuth, service: ours("inject", "false"), owner: asks, wantReason: policy.NotRequested, wantFrom: "Service tenant-b/web", wantForeign: true,
		},
		"an owner who opts out does not stop the APIRule from asking": {
			rule: nothing, apirule: asks, service: ours("inject", "false"), wantReason: policy.Injected, wantFrom: "APIRule", wantAuthorizers: []string{"oauth2-proxy"}, want: "InjectionMissing",
		},
		"the namespace of the APIRule asks, the owner says nothing": {
			rule: nothing, own: asks, wantReason: policy.Injected, wantFrom: "Namespace", wantAuthorizers: []string{"oauth2-proxy"}, want: "InjectionMissing",
		},
		"the owner's namespace comes before that of the APIRule": {
			rule: nothing, owner: ours("inject", "false"), own: asks, wantReason: policy.NotRequested, wantFrom: "Namespace tenant-b", wantForeign: true,
		},
		"an annotation of the owner's namespace that nobody can read": {
			rule: noAuth, owner: ours("injekt", "true"), wantReason: policy.AnnotationInvalid, want: "InvalidAnnotation",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := foreignRule(t, tc.rule)
			view.Annotations = tc.apirule
			facts := tenants(tc.service, tc.owner, tc.own)
			injection := policy.Inject(view, facts, policy.DefaultSettings())
			want := policy.Outcome{Reason: tc.wantReason, From: tc.wantFrom, Foreign: tc.wantForeign}
			assert.Empty(t, cmp.Diff([]policy.Outcome{want}, injection.Outcomes), "(-want +got)")
			var got []string
			for _, edit := range injection.Edits.Rules {
				got = edit.Authorizers
			}
			assert.Equal(t, tc.wantAuthorizers, got)
			if tc.wantForeign {
				assert.Empty(t, injection.WithoutForeign(view).Edits.Rules, "nobody writes an APIRule because of a Service elsewhere")
			}

			var denials []string
			for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
				if finding.Severity == policy.Deny {
					denials = append(denials, string(finding.Code))
				}
			}
			assert.Equal(t, tc.want, strings.Join(denials, ","))
		})
	}
}

func foreignRule(t *testing.T, strategy string) apirule.View {
	t.Helper()
	if strategy != "" {
		strategy = ", " + strategy
	}
	view := parse(t, fmt.Sprintf("{metadata: {namespace: tenant-a, name: web}, spec: {hosts: [web.example.com], gateway: kyma-system/kyma-gateway, "+
		"service: {name: web, namespace: tenant-b, port: 80}, rules: [{path: /*, methods: [GET]%s}]}}", strategy))
	return view
}

// tenants are the facts around it; each namespace injects sidecars.
func tenants(ofService, ofOwner, ofOwn map[string]string) policy.Facts {
	sidecars := func(name string) map[string]string {
		return map[string]string{"istio-injection": "enabled", "kubernetes.io/metadata.name": name, "exposure": strings.Map(func(r rune) rune {
			if r == '-' {
				return -1
			}
			return r
		}, name)}
	}
	return policy.Facts{
		Registry: registered("oauth2-proxy", "corp"),
		Services: map[types.NamespacedName]policy.Service{nsName("tenant-b", "web"): {Annotations: ofService, Selector: policy.SelectorOf(map[string]string{"app": "web"})}},
		Namespaces: map[string]policy.Namespace{
			"tenant-a": {Annotations: ofOwn, Labels: sidecars("tenant-a")},
			"tenant-b": {Annotations: ofOwner, Labels: sidecars("tenant-b")},
		},
	}
}

// A policy that selects the namespace of a Service is about the rules in front of
// it, wherever their APIRule is.
func TestPoliciesMatchTheNamespaceOfTheService(t *testing.T) {
	const open = "noAuth: true"
	cases := map[string]struct {
		selector, own string // of the policy; a second rule, of tenant-a itself
		want          []int  // the rules that violate it
		wantState     policy.State
	}{
		"the owner's namespace":   {selector: "matchLabels: {exposure: tenantb}", want: []int{0}, wantState: policy.Violating},
		"the APIRule's namespace": {selector: "matchLabels: {exposure: tenanta}", want: []int{0}, wantState: policy.Violating},
		"neither":                 {selector: "matchLabels: {exposure: tenantc}"},
		"by name":                 {selector: "matchLabels: {kubernetes.io/metadata.name: tenant-b}", want: []int{0}, wantState: policy.Violating},
		"only the rule in front of the owner's Service": {selector: "matchLabels: {exposure: tenantb}", own: open, want: []int{0}, wantState: policy.Violating},
		"all rules, for the namespace is the APIRule's": {selector: "matchLabels: {exposure: tenanta}", own: open, want: []int{0, 1}, wantState: policy.Violating},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			view := foreignRule(t, open)
			if tc.own != "" {
				view.Rules = append(view.Rules, apirule.Rule{Index: 1, Path: "/own", Methods: []string{"GET"}, Strategy: apirule.NoAuth, Service: nsName("tenant-a", "web"), OwnService: true})
			}
			facts := tenants(nil, nil, nil)
			facts.Policies = clusterPolicies(t, fmt.Sprintf("{mode: Enforce, match: {namespaceSelector: {%s}}, require: {authorizers: [oauth2-proxy]}}", tc.selector))
			var got []int
			for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
				if finding.Code == policy.PolicyViolation {
					assert.Equal(t, policy.Deny, finding.Severity)
					got = append(got, int(finding.Err.Field[len("spec.rules[")]-'0'))
				}
			}
			assert.Equal(t, tc.want, got)
			assessments := policy.Assess(view, facts, policy.DefaultSettings())
			if tc.wantState == "" {
				assert.Empty(t, assessments)
				return
			}
			if assert.Len(t, assessments, 1) {
				assert.Equal(t, tc.wantState, assessments[0].State)
				assert.Len(t, assessments[0].Violations, len(tc.want))
			}
		})
	}
}

// The owner's wish to opt out is forbidden where a policy is about the foreign
// APIRule only because it selects the owner's namespace.
func TestOptOutOfAnOwner(t *testing.T) {
	view := foreignRule(t, "noAuth: true")
	facts := policy.OptOutFacts{
		Policies:   clusterPolicies(t, `{mode: Audit, match: {hosts: [web.example.com], namespaceSelector: {matchLabels: {exposure: tenantb}}}, optOut: Forbidden}`),
		Namespaces: tenants(nil, nil, nil).Namespaces,
		APIRules:   []apirule.View{view},
	}
	for kind, name := range map[annotation.Kind]types.NamespacedName{annotation.Service: nsName("tenant-b", "web"), annotation.Namespace: nsName("", "tenant-b")} {
		assert.True(t, policy.Denies(policy.CheckOptOut(kind, name, ours("inject", "false"), facts)), kind)
	}
	assert.False(t, policy.Denies(policy.CheckOptOut(annotation.Service, nsName("tenant-b", "other"), ours("inject", "false"), facts)))
}
