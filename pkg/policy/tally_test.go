// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestTally(t *testing.T) {
	var tally policy.Tally
	assert.Empty(t, tally.String())
	for _, verdict := range []policy.Verdict{policy.Protected, policy.Open, policy.Protected, policy.NotEnforced} {
		tally.Add(verdict, 1)
	}
	assert.Equal(t, "1 NotEnforced, 1 Open, 2 Protected", tally.String())
}
