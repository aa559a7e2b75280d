// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestCheckVersion(t *testing.T) {
	for _, version := range []string{"gateway.kyma-project.io/v2", "gateway.kyma-project.io/v2alpha1"} {
		assert.Empty(t, policy.CheckVersion(version))
	}
	found := policy.CheckVersion("gateway.kyma-project.io/v1beta1")
	require.Len(t, found, 1)
	assert.Equal(t, policy.LegacyVersion, found[0].Code)
	assert.Equal(t, policy.Warn, found[0].Severity)
	assert.Equal(t, "apiVersion", found[0].Err.Field)
	assert.LessOrEqual(t, len([]rune(found[0].Warning())), 120)
}
