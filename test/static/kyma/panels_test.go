// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	verdict  = "/apirules.children/As it is declared.source"
	because  = "/apirules.children/Because.source"
	askedBy  = "/apirules.children/Asked for by.source"
	next     = "/apirules.children/Next step.source"
	violated = "/apirules.children/Policies that it violates.source"
	service  = "/Services.children/APIRules for this Service.source"
	callers  = "/Services.children/Callers inside the mesh.source"
	exposed  = "/Services.children/Exposed by annotation.source"
	ofSpace  = "/Namespaces.children/APIRules for its Services.source"
	sidecars = "/Namespaces.children/Sidecars.source"
	matched  = "/ClusterOverview.mainValue.source"
	broken   = "/ClusterOverview.children/Violating.source"
)

// apirule is one with these rules.
func apirule(rules string) string {
	return `{kind: APIRule, metadata: {name: cart, namespace: shop}, spec: {rules: [` + rules + `]}}`
}

func annotated(kind, annotations string) string {
	return `{kind: ` + kind + `, metadata: {name: cart, namespace: shop, annotations: {` + annotations + `}}}`
}

const (
	guarded = `{path: "/*", methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`
	token   = `{path: "/api", methods: [GET], jwt: {authentications: []}}`
	open    = `{path: "/status", methods: [GET, HEAD], noAuth: true}`
	nothing = `{path: "/new", methods: [GET]}`
	empty   = `{path: "/half", methods: [GET], extAuth: {authorizers: []}}`
)

// policies are two ExtAuthPolicies, of which one was looked at.
const policies = `{items: [
  {metadata: {name: public}, status: {matched: 4, compliant: 2, violating: 1, exempt: 1, violations: [
    {namespace: shop, name: cart, rule: 1, code: PolicyViolation, message: "requires x"}, {namespace: lab, name: cart, rule: 0, code: PolicyViolation, message: other}]}},
  {metadata: {name: new}}]}`

func TestPanels(t *testing.T) {
	cases := []struct {
		name, object, place string
		want                any
	}{
		{"every rule has an authorizer", apirule(guarded), verdict, "Protected"},
		{"an authorizer and a jwt", apirule(guarded + "," + token), verdict, "Protected"},
		{"one is open", apirule(guarded + "," + open), verdict, "Partly open"},
		{"all are open", apirule(open), verdict, "Open"},
		{"no strategy at all", apirule(nothing), verdict, "Open"},
		{"an empty list of authorizers protects nothing", apirule(empty), verdict, "Open"},
		{"v1beta1 shows no rules", `{kind: APIRule, metadata: {name: cart, namespace: shop}, spec: {}}`, verdict, "Unknown"},
		{"no spec", `{kind: APIRule, metadata: {name: cart, namespace: shop}}`, verdict, "Unknown"},
		{"who is asked", apirule(guarded + "," + token), because, "requests are asked about by oauth2-proxy, a jwt check"},
		{"what is open", apirule(guarded + "," + open), because, "everybody may call /status (GET, HEAD)"},
		{"all that is open", apirule(open + "," + nothing), because, "everybody may call /status (GET, HEAD), /new (GET)"},
		{"only a jwt", apirule(token), because, "requests are asked about by a jwt check"},
		{"what cannot be read", apirule(""), because, "the rules cannot be read in this version; write the APIRule as v2"},
		{"injected", annotated("APIRule", `extauth-guard.io/injected: '[{"rule":0,"authorizers":["a"],"from":"Service shop/cart"},{"rule":1,"authorizers":["a"],"from":"Namespace"}]'`), askedBy, "Service shop/cart, Namespace"},
		{"written by the author", apirule(guarded), askedBy, "nobody; the author wrote it"},
		{"a record that somebody forged", annotated("APIRule", `extauth-guard.io/injected: 'nonsense'`), askedBy, "nobody; the author wrote it"},
		{"nothing to do", apirule(guarded), next, "none; kubectl extauth explain tells whether it is enforced"},
		{"noAuth has to go", apirule(open), next, `remove noAuth and annotate extauth-guard.io/inject: "true", or annotate extauth-guard.io/replace: noAuth too`},
		{"injection is missing", apirule(nothing), next, `annotate extauth-guard.io/inject: "true" and apply the APIRule again`},
		{"to be migrated", apirule(""), next, "kubectl extauth migrate"},
		{"the violations of this APIRule only", apirule(guarded), violated, []any{map[string]any{"policy": "public", "rule": 1.0, "code": "PolicyViolation", "message": "requires x"}}},
		{"no violations", `{metadata: {name: other, namespace: shop}}`, violated, []any{}},
		{"a Service says nothing", annotated("Service", ""), service, "get what they, the Namespace or a policy asks for"},
		{"a Service without annotations", `{kind: Service, metadata: {name: cart}}`, service, "get what they, the Namespace or a policy asks for"},
		{"a Service asks", annotated("Service", `extauth-guard.io/inject: "true"`), service, "get the default authorizer"},
		{"a Service names authorizers", annotated("Service", `extauth-guard.io/authorizers: "corp"`), service, "get corp"},
		{"a Service opts out", annotated("Service", `extauth-guard.io/inject: "false"`), service, "are left alone"},
		{"a Service mistypes", annotated("Service", `extauth-guard.io/inject: "yes"`), service, `are refused: extauth-guard.io/inject has to be "true" or "false"`},
		{"no callers", annotated("Service", ""), callers, "nobody is asked for"},
		{"some callers", annotated("Service", `extauth-guard.io/internal-callers: "batch"`), callers, "batch"},
		{"all callers", annotated("Service", `extauth-guard.io/internal-callers: "*"`), callers, "everybody but ingress gateways"},
		{"not exposed", annotated("Service", ""), exposed, "no"},
		{"asked for", annotated("Service", `extauth-guard.io/expose: cart`), exposed, "asked for as cart; the events say what became of it"},
		{"a Namespace asks", annotated("Namespace", `extauth-guard.io/inject: "true"`), ofSpace, "get the default authorizer"},
		{"sidecars", `{metadata: {labels: {istio-injection: enabled}}}`, sidecars, "are injected"},
		{"sidecars of a revision", `{metadata: {labels: {istio.io/rev: stable}}}`, sidecars, "are injected"},
		{"no sidecars", `{metadata: {}}`, sidecars, "are not injected, so nobody would ask an authorizer"},
		{"the cluster", `{}`, matched, 4.0},
		{"what violates in the cluster", `{}`, broken, 1.0},
	}
	sources := expressions("", section(t, configMaps(t)["panels"], "injections"))
	var questions []question
	for _, tc := range cases {
		require.Contains(t, sources, tc.place)
		questions = append(questions, question{Expression: sources[tc.place], EmbedResource: object(t, tc.object), DataSources: map[string]any{"policies": object(t, policies)}})
	}
	// Every expression has to be one, and to bear a cluster without anything.
	places := slices.Sorted(maps.Keys(sources))
	for _, place := range places {
		questions = append(questions, question{Expression: sources[place], EmbedResource: map[string]any{}, Item: map[string]any{}, DataSources: map[string]any{"policies": map[string]any{"items": []any{}}}})
	}
	got := ask(t, questions, nil)
	for i, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			assert.Empty(t, got.Expressions[i].Error)
			assert.Equal(t, tc.want, got.Expressions[i].Value)
		})
	}
	for i, place := range places {
		assert.Empty(t, got.Expressions[len(cases)+i].Error, place)
	}
}

func TestThePageOfPolicies(t *testing.T) {
	const (
		ready    = "/Ready.source"
		matches  = "/Matched.source"
		coverage = ".header/Coverage.source"
		showing  = ".body/Violations.visibility"
		row      = ".body/Violations.children/APIRule.source"
		paths    = ".body/Exemptions.children/Paths.source"
	)
	cases := []struct {
		section, name, object, place string
		want                         any
	}{
		{"list", "ready", `{status: {conditions: [{type: Ready, status: "True", reason: Evaluated}]}}`, ready, "Ready"},
		{"list", "not ready, and why", `{status: {conditions: [{type: Ready, status: "False", reason: AuthorizerNotRegistered}]}}`, ready, "AuthorizerNotRegistered"},
		{"list", "the right one of several conditions", `{status: {conditions: [{type: Other, status: "True"}, {type: Ready, status: "False", reason: Faulty}]}}`, ready, "Faulty"},
		{"list", "not looked at", `{spec: {mode: Audit}}`, ready, "Unknown"},
		{"list", "no status is no match yet", `{}`, matches, 0.0},
		{"list", "matches", `{status: {matched: 7}}`, matches, 7.0},
		{"list", "the mode", `{spec: {mode: Enforce}}`, "/Mode.source", "Enforce"},
		{"list", "violating", `{status: {violating: 3}}`, "/Violating.source", 3.0},
		{"list", "exempt", `{status: {exempt: 2}}`, "/Exempt.source", 2.0},
		{"details", "coverage", `{status: {matched: 4, compliant: 2, exempt: 1, violating: 1}}`, coverage, "2 of 4 comply, 1 are exempt, 1 violate"},
		{"details", "nothing matches", `{status: {matched: 0, compliant: 0, exempt: 0, violating: 0}}`, coverage, "0 of 0 comply, 0 are exempt, 0 violate"},
		{"details", "not looked at", `{}`, coverage, "not looked at yet"},
		{"details", "ready in the header", `{status: {conditions: [{type: Ready, status: "True"}]}}`, ".header/Ready.source", "Ready"},
		{"details", "unknown in the header", `{}`, ".header/Ready.source", "Unknown"},
		{"details", "violations are shown", `{status: {violations: [{name: a}]}}`, showing, true},
		{"details", "none are shown", `{status: {}}`, showing, false},
		{"details", "hosts past every APIRule are shown", `{status: {unguardedHosts: [{host: a}]}}`, ".body/Exposed past every APIRule.visibility", true},
		{"details", "a violation", `{namespace: shop, name: cart}`, row, "shop/cart"},
		{"details", "an exemption of everything", `{paths: []}`, paths, "all"},
		{"details", "an exemption of paths", `{paths: [/a, /b]}`, paths, "/a, /b"},
		{"details", "an exemption without paths", `{}`, paths, "all"},
	}
	sources := map[string]map[string]string{}
	for _, key := range []string{"list", "details"} {
		sources[key] = expressions("", section(t, configMaps(t)["policies"], key))
	}
	var questions []question
	for _, tc := range cases {
		require.Contains(t, sources[tc.section], tc.place, "%v", slices.Sorted(maps.Keys(sources[tc.section])))
		questions = append(questions, question{Expression: sources[tc.section][tc.place], Root: object(t, tc.object)})
	}
	got := ask(t, questions, nil)
	for i, tc := range cases {
		t.Run(fmt.Sprint(tc.section, " ", tc.name), func(t *testing.T) {
			assert.Empty(t, got.Expressions[i].Error)
			assert.Equal(t, tc.want, got.Expressions[i].Value)
		})
	}
}
