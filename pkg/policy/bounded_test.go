// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func several(code policy.Code, severity policy.Severity, count int) []policy.Finding {
	made := make([]policy.Finding, count)
	for i := range made {
		path := field.NewPath("spec", "rules").Index(i)
		made[i] = policy.Finding{Code: code, Severity: severity, Err: field.Invalid(path, "/*", fmt.Sprintf("is open [%s]", code)), Brief: "is open"}
	}
	return made
}

func TestBounded(t *testing.T) {
	assert.Empty(t, policy.Bounded(nil))
	for _, count := range []int{1, 16, 17} {
		few := several(policy.PolicyViolation, policy.Deny, count)
		assert.Equal(t, few, policy.Bounded(few), "one more sentence says as much as a count")
	}
	many := policy.Bounded(several(policy.PolicyViolation, policy.Deny, 1000))
	if assert.Len(t, many, 17) {
		assert.Equal(t, `spec.rules[16]: Invalid value: "/*": and 984 more of this kind, from here on [PolicyViolation]`, many[16].Err.Error())
		assert.Equal(t, "PolicyViolation: spec.rules[16]: and 984 more of this kind, from here on", many[16].Warning())
		assert.Equal(t, policy.Deny, many[16].Severity)
	}
}

// A denial is not lost behind warnings of the same code, which an update inherits.
func TestBoundedKeepsDenials(t *testing.T) {
	all := append(several(policy.PolicyViolation, policy.Warn, 100), several(policy.PolicyViolation, policy.Deny, 1)...)
	bounded := policy.Bounded(append(all, several(policy.RuleLeftOpen, policy.Warn, 2)...))
	assert.Len(t, bounded, 17+1+2)
	assert.True(t, policy.Denies(bounded))
}

func TestBoundedAllocatesByCodesAndNotByFindings(t *testing.T) {
	few, many := several(policy.PolicyViolation, policy.Deny, 100), several(policy.PolicyViolation, policy.Deny, 100_000)
	allocations := func(findings []policy.Finding) float64 {
		return testing.AllocsPerRun(10, func() { policy.Bounded(findings) })
	}
	assert.LessOrEqual(t, allocations(many), allocations(few)+16, "of 100,000 findings; the race detector allocates some, too")
}
