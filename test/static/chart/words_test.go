// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func chartFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(checkout.Path(t, "charts/extauth-guard/"+name))
	require.NoError(t, err)
	return string(raw)
}

// measured returns the names of our metrics, as Prometheus has them.
func measured(t *testing.T) map[string]bool {
	t.Helper()
	registry := prometheus.NewRegistry()
	admission, err := metrics.NewAdmission(registry)
	require.NoError(t, err)
	certificate, err := metrics.NewCertificate(registry)
	require.NoError(t, err)
	// A metric with labels is there once it was used.
	admission.Request("w", "CREATE", "allowed", time.Millisecond)
	admission.Finding("w", "c", "deny")
	admission.Injection("s")
	admission.Skip("r")
	certificate.Expires(time.Unix(1, 0))
	families, err := registry.Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, family := range families {
		names[family.GetName()] = true
		names[family.GetName()+"_bucket"] = true
	}
	// And those of the controllers and the watches, by their generated reference.
	reference, err := os.ReadFile(checkout.Path(t, "docs/reference/metrics.md"))
	require.NoError(t, err)
	for _, row := range regexp.MustCompile("(?m)^\\| `(extauth_guard_[a-z_]+)`").FindAllStringSubmatch(string(reference), -1) {
		names[row[1]] = true
	}
	return names
}

func TestAlertsAndDashboardAskForMetricsThatThereAre(t *testing.T) {
	known := measured(t)
	for _, file := range []string{"files/alerts.yaml", "files/dashboard.json"} {
		asked := regexp.MustCompile(`extauth_guard_[a-z_]+`).FindAllString(chartFile(t, file), -1)
		require.NotEmpty(t, asked)
		for _, name := range asked {
			assert.True(t, known[name], "%s asks for %s, which nobody measures", file, name)
		}
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "docs/runbooks.md"))
	require.NoError(t, err)
	var alerts []struct{ Alert string }
	require.NoError(t, yaml.Unmarshal([]byte(chartFile(t, "files/alerts.yaml")), &alerts))
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		assert.Contains(t, string(raw), "\n## "+alert.Alert+"\n")
	}
}

// A value that no template reads is a promise that nobody keeps.
func TestEveryValueIsUsed(t *testing.T) {
	var templates strings.Builder
	require.NoError(t, filepath.WalkDir(checkout.Path(t, "charts/extauth-guard/templates"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		templates.Write(raw)
		return err
	}))
	values, err := chart.ReadValues([]byte(chartFile(t, "values.yaml")))
	require.NoError(t, err)
	// The job's configuration is handed over whole.
	delete(values["bootstrap"].(map[string]any), "config")
	image := values["image"].(map[string]any) // read as $image
	delete(values, "image")
	for key := range image {
		assert.Contains(t, templates.String()+".Values.image.pullPolicy", "mage."+key)
	}
	for _, path := range leaves("", values) {
		used := regexp.MustCompile(`(\.Values|\$v)\.` + regexp.QuoteMeta(path) + `\b`)
		assert.True(t, used.MatchString(templates.String()), "no template reads %s", path)
	}
}

func leaves(path string, values map[string]any) []string {
	var all []string
	for key, value := range values {
		nested, ok := value.(map[string]any)
		if _, userDefined := map[string]bool{"resources": true, "labels": true}[key]; ok && len(nested) > 0 && !userDefined {
			all = append(all, leaves(path+key+".", nested)...)
			continue
		}
		all = append(all, path+key)
	}
	return all
}

// A renderer that looks into the cluster renders differently for GitOps tools.
func TestNothingLooksIntoTheClusterOrRollsDice(t *testing.T) {
	for name, rendering := range documented(t) {
		again := documented(t)[name]
		assert.Equal(t, rendering, again, name)
	}
	require.NoError(t, filepath.WalkDir(checkout.Path(t, "charts/extauth-guard/templates"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, action := range regexp.MustCompile(`(?s)\{\{.*?\}\}`).FindAllString(string(raw), -1) {
			if !strings.Contains(action, "/*") {
				assert.NotRegexp(t, `\b(lookup|rand[A-Z]\w+|genCA|genSelfSignedCert|now)\b`, action, path)
			}
		}
		return err
	}))
}

func TestNotesWarn(t *testing.T) {
	cases := map[string]struct {
		values map[string]any
		want   string
	}{
		"one replica":       {map[string]any{"replicas": 1, "podDisruptionBudget": map[string]any{"enabled": false}}, "WARNING: replicas is 1. While the only replica restarts, no APIRule can be created or changed."},
		"none":              {map[string]any{"replicas": 0, "podDisruptionBudget": map[string]any{"enabled": false}}, "WARNING: replicas is 0. While there is no replica, no APIRule"},
		"fail open":         {map[string]any{"webhooks": map[string]any{"failurePolicy": "Ignore"}}, "WARNING: webhooks.failurePolicy is Ignore."},
		"unknown is waved":  {map[string]any{"policy": map[string]any{"unknownRegistry": "Warn"}}, "WARNING: policy.unknownRegistry is Warn."},
		"everybody may ask": {map[string]any{"networkPolicy": map[string]any{"enabled": false}}, "WARNING: networkPolicy.enabled is false."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			notes := render(t, tc.values).Notes
			assert.Contains(t, notes, tc.want)
		})
	}
	assert.NotContains(t, render(t, nil).Notes, "WARNING")
}
