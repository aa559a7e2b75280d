// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// schemas returns the schemas of the rules by their names.
func schemas(t *testing.T) map[string]any {
	t.Helper()
	set, ok := section(t, configMaps(t)["rules"], "rule-set.yaml").(map[string]any)
	require.True(t, ok)
	found := map[string]any{}
	for _, entry := range set["rules"].([]any) {
		rule := entry.(map[string]any)
		assert.NotEmpty(t, rule["messageOnFailure"])
		found[rule["uniqueName"].(string)] = rule["schema"]
	}
	policy := set["policies"].([]any)[0].(map[string]any)
	assert.Len(t, policy["rules"], len(found), "the policy has all rules")
	return found
}

func TestRules(t *testing.T) {
	const open, unknown = "EXTAUTH_RULE_OPEN", "EXTAUTH_UNKNOWN_ANNOTATION"
	of := schemas(t)
	cases := []struct {
		name, rule, object string
		takes              bool
	}{
		{"a protected APIRule", open, apirule(guarded), true},
		{"a jwt", open, apirule(token), true},
		{"a rule that injection will protect", open, apirule(nothing), true},
		{"an open rule", open, apirule("{path: /*, noAuth: true}"), false},
		{"an open rule beside a protected one", open, apirule(guarded + ", {path: /*, noAuth: true}"), false},
		{"noAuth false", open, apirule("{path: /*, noAuth: false}"), true},
		{"an APIRule without rules", open, `{kind: APIRule, spec: {}}`, true},
		{"an APIRule without spec", open, `{kind: APIRule}`, true},
		{"another kind", open, `{kind: Other, spec: {rules: [{noAuth: true}]}}`, true},
		{"no object", open, `{}`, true},
		{"a known annotation", unknown, annotated("APIRule", `extauth-guard.io/inject: "true"`), true},
		{"a typo", unknown, annotated("APIRule", `extauth-guard.io/injet: "true"`), false},
		{"upper case", unknown, annotated("APIRule", `ExtAuth-Guard.io/inject: "true"`), false},
		{"annotations of others", unknown, annotated("APIRule", `example.com/a: b`), true},
		{"no annotations", unknown, `{kind: APIRule, metadata: {name: a}}`, true},
		{"callers on a Service", unknown, annotated("Service", `extauth-guard.io/internal-callers: "*"`), true},
		{"callers on an APIRule", unknown, annotated("APIRule", `extauth-guard.io/internal-callers: "*"`), false},
		{"expose on a Service", unknown, annotated("Service", `extauth-guard.io/expose: a`), true},
		{"expose on a Namespace", unknown, annotated("Namespace", `extauth-guard.io/expose: a`), false},
		{"a Namespace", unknown, annotated("Namespace", `extauth-guard.io/inject: "true"`), true},
		{"a kind that is not ours to judge", unknown, annotated("Pod", `extauth-guard.io/inject: "true"`), true},
	}
	var judgements []judgement
	for _, tc := range cases {
		judgements = append(judgements, judgement{of[tc.rule], object(t, tc.object)})
	}
	// The keys are those that admission knows.
	kinds := []annotation.Kind{annotation.APIRule, annotation.Service, annotation.Namespace}
	for _, kind := range kinds {
		for _, key := range annotation.Keys(kind) {
			judgements = append(judgements, judgement{of[unknown], object(t, annotated(string(kind), key+": x"))})
		}
	}
	got := ask(t, nil, judgements)
	for i, tc := range cases {
		assert.Equal(t, tc.takes, got.Schemas[i], tc.name)
	}
	for _, takes := range got.Schemas[len(cases):] {
		assert.True(t, takes, "a key that admission knows")
	}
}
