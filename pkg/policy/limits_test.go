// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestLimitExceeded(t *testing.T) {
	long := func(digest uint64) apirule.View {
		return apirule.View{Namespace: "shop", Name: "web", Excess: []apirule.Excess{{Field: field.NewPath("spec", "rules"), Count: 15_000, Max: 10_000, Digest: digest}}}
	}
	check := func(view apirule.View) []policy.Finding {
		return policy.Check(view, policy.Facts{}, policy.DefaultSettings())
	}
	want := []string{`deny: spec.rules: Invalid value: "15000": has 15000 entries, and at most 10000 are looked at; split the APIRule [LimitExceeded]`}
	assert.Equal(t, want, sentences(check(long(1))))
	assert.Equal(t, want, sentences(policy.Inject(long(1), policy.Facts{}, policy.DefaultSettings()).Findings))
	assert.False(t, policy.Denies(policy.Ratchet(check(long(1)), check(long(1)))), "an old one may be labelled")
	assert.True(t, policy.Denies(policy.Ratchet(check(long(1)), check(long(2)))), "and not changed where nobody looks")
	assert.True(t, strings.HasPrefix(check(long(1))[0].Warning(), "LimitExceeded: spec.rules: has 15000 entries"))
}
