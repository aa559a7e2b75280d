// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package helm4 proves that Helm 4 renders the chart as Helm 3 does: the goldens of
// test/static/chart, document by document. It is a module of its own, because one program that
// has both needs a mixture of versions that neither is released with.
package helm4

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/release"
	"sigs.k8s.io/yaml"
)

const root = "../../.."

func TestHelm4RendersWhatHelm3Does(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "test", "static", "chart", "testdata", "*.values.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".values.yaml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			values := map[string]any{}
			require.NoError(t, yaml.Unmarshal(raw, &values))
			want, err := os.ReadFile(strings.Replace(file, ".values.yaml", ".golden.yaml", 1))
			require.NoError(t, err)
			assert.Equal(t, documents(string(want)), documents(render(t, values)))
		})
	}
}

// documents splits a rendering and sorts it: the two leave different empty lines
// between documents, and put kinds that Helm 3 does not know into another order.
func documents(rendering string) []string {
	var all []string
	for document := range strings.SplitSeq(rendering, "\n---\n") {
		all = append(all, strings.Trim(document, "\n"))
	}
	slices.Sort(all)
	return all
}

// What cannot work is refused by Helm 4 with the same words.
func TestHelm4RefusesWhatHelm3Does(t *testing.T) {
	_, err := run(t, map[string]any{"replicas": 1})
	require.ErrorContains(t, err, "podDisruptionBudget.minAvailable is 1 of 1 replicas")
	_, err = run(t, map[string]any{"replicaz": 3})
	require.ErrorContains(t, err, "replicaz")
}

// render returns a rendering in the form of the goldens.
func render(t *testing.T, values map[string]any) string {
	t.Helper()
	rendered, err := run(t, values)
	require.NoError(t, err)
	var out strings.Builder
	out.WriteString(rendered.Manifest())
	for _, hook := range rendered.Hooks() {
		accessor, err := release.NewHookAccessor(hook)
		require.NoError(t, err)
		out.WriteString("---\n# Source: " + accessor.Path() + "\n" + accessor.Manifest() + "\n")
	}
	out.WriteString("---\n# NOTES.txt\n# " + strings.ReplaceAll(strings.TrimSpace(rendered.Notes()), "\n", "\n# ") + "\n")
	return out.String()
}

// run does what helm template does, with the settings of test/static/chart.
func run(t *testing.T, values map[string]any) (release.Accessor, error) {
	t.Helper()
	loaded, err := loader.LoadDir(filepath.Join(root, "charts", "extauth-guard"))
	require.NoError(t, err)
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy, install.IncludeCRDs = action.DryRunClient, true
	install.ReleaseName, install.Namespace = "extauth-guard", "extauth-guard"
	install.KubeVersion = &common.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	install.APIVersions = append(common.VersionSet{"cert-manager.io/v1", "monitoring.coreos.com/v1"}, common.DefaultVersionSet...)
	if values["image"] == nil {
		values["image"] = map[string]any{"tag": "0.0.0"} // a checkout has to name its image
	}
	rendered, err := install.RunWithContext(t.Context(), loaded, values)
	if err != nil {
		return nil, err
	}
	return release.NewAccessor(rendered)
}
