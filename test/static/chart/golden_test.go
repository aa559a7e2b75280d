// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

var update = flag.Bool("update", false, "write the goldens")

// everywhere is what a cluster serves where nothing is missing.
var everywhere = []string{"cert-manager.io/v1", "monitoring.coreos.com/v1"}

// documented renders every configuration in testdata.
func documented(t *testing.T) map[string]chart.Rendering {
	t.Helper()
	files, err := filepath.Glob("testdata/*.values.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string]chart.Rendering{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".values.yaml")] = documentedFile(t, file, nil)
	}
	return all
}

// documentedFile renders the values of a file after a change; nil is none.
func documentedFile(t *testing.T, file string, change func(values map[string]any)) chart.Rendering {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	values, err := chart.ReadValues(raw)
	require.NoError(t, err, file)
	if change != nil {
		change(values)
	}
	rendering, err := chart.Render(chart.Options{Values: values, APIVersions: everywhere})
	require.NoError(t, err, file)
	return rendering
}

func TestGoldens(t *testing.T) {
	for name, rendering := range documented(t) {
		t.Run(name, func(t *testing.T) {
			got := rendering.Manifests + rendering.Hooks + "---\n# NOTES.txt\n# " +
				strings.ReplaceAll(strings.TrimSpace(rendering.Notes), "\n", "\n# ") + "\n"
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
				return
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "run make generate")
			assert.Empty(t, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")), "run make generate, and look at the difference (-want +got)")
		})
	}
}
