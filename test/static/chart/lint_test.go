// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/lint/support"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// helm lint, strictly, for every documented configuration. What it only recommends
// is an icon, which there is none of.
func TestHelmLintHasNothingToSay(t *testing.T) {
	directory, err := chart.Directory()
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/*.values.yaml")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			values, err := chart.ReadValues(raw)
			require.NoError(t, err)
			lint := action.NewLint()
			lint.Namespace = chart.Namespace
			for _, message := range lint.Run([]string{directory}, chart.WithImage(values)).Messages {
				assert.LessOrEqual(t, message.Severity, support.InfoSev, "%s", message)
			}
		})
	}
}
