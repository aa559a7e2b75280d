// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestEachAPIRuleIsCountedOnce(t *testing.T) {
	b := newBook(facts.NewWorld("nobody has looked"), policy.DefaultSettings)
	for name, one := range map[string]judged{
		"right":                 {verdict: policy.Protected, standings: []standing{{"p", policy.Compliant}}},
		"open as it was meant":  {verdict: policy.Open},
		"open against the wish": {verdict: policy.Open, grave: []string{"InjectionMissing"}},
		"violating and open":    {verdict: policy.Open, grave: []string{"PolicyViolation"}, standings: []standing{{"p", policy.Compliant}, {"q", policy.Violating}}},
		"by declaration only":   {verdict: policy.NotEnforced},
		"closed":                {verdict: policy.Blocked},
		"not known":             {verdict: policy.Unknown},
	} {
		b.verdicts[types.NamespacedName{Namespace: "shop", Name: name}] = &one
	}
	assert.Equal(t, Coverage{APIRules: 7, Violating: 1, NotEnforced: 1, Open: 1, Blocked: 1}, coverage(b))
}
