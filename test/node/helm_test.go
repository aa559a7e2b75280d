// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node || mesh

package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// helm does what the command helm does.
type helm struct {
	configuration      *action.Configuration
	chart              *helmchart.Chart
	release, namespace string
}

// slowest is how long a hook may take.
const slowest = 5 * time.Minute

// newHelm is helm for our chart.
func newHelm(t *testing.T, c *cluster) *helm {
	t.Helper()
	directory, err := chart.Directory()
	require.NoError(t, err)
	return helmFor(t, c, directory, chart.Release, chart.Namespace)
}

// helmFor is helm for one release of a chart.
func helmFor(t *testing.T, c *cluster, directory, release, namespace string) *helm {
	t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig = &c.kubeconfig
	flags.Namespace = &namespace
	h := &helm{configuration: &action.Configuration{}, release: release, namespace: namespace}
	require.NoError(t, h.configuration.Init(flags, namespace, "secret", func(string, ...any) {}))
	var err error
	h.chart, err = loader.LoadDir(directory)
	require.NoError(t, err)
	return h
}

func (h *helm) install(t *testing.T, values map[string]any) {
	t.Helper()
	install := action.NewInstall(h.configuration)
	install.ReleaseName, install.Namespace, install.Wait, install.Timeout = h.release, h.namespace, true, slowest
	_, err := install.RunWithContext(t.Context(), h.chart, values)
	require.NoError(t, err)
}

func (h *helm) upgrade(t *testing.T, values map[string]any) {
	t.Helper()
	upgrade := action.NewUpgrade(h.configuration)
	upgrade.Namespace, upgrade.Wait, upgrade.Timeout = h.namespace, true, slowest
	_, err := upgrade.RunWithContext(t.Context(), h.release, h.chart, values)
	require.NoError(t, err)
}

func (h *helm) test(t *testing.T) {
	t.Helper()
	test := action.NewReleaseTesting(h.configuration)
	test.Namespace, test.Timeout = h.namespace, slowest
	_, err := test.Run(h.release)
	require.NoError(t, err)
}

func (h *helm) uninstall(t *testing.T) {
	t.Helper()
	uninstall := action.NewUninstall(h.configuration)
	uninstall.Wait, uninstall.Timeout = true, slowest
	_, err := uninstall.Run(h.release)
	require.NoError(t, err)
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &parsed))
	return parsed
}
