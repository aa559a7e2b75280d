// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// What the project says about its security points to files that are there.
func TestTheSecurityInsights(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "SECURITY-INSIGHTS.yml"))
	require.NoError(t, err)
	var insights struct {
		Header struct {
			SchemaVersion string `json:"schema-version"`
			LastUpdated   string `json:"last-updated"`
			LastReviewed  string `json:"last-reviewed"`
			URL           string `json:"url"`
		} `json:"header"`
		Project    map[string]any `json:"project"`
		Repository map[string]any `json:"repository"`
	}
	require.NoError(t, yaml.UnmarshalStrict(raw, &insights))
	assert.Equal(t, "2.0.0", insights.Header.SchemaVersion)
	for _, day := range []string{insights.Header.LastUpdated, insights.Header.LastReviewed} {
		_, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
	}
	for _, key := range []string{"name", "administrators", "repositories", "vulnerability-reporting"} {
		assert.Contains(t, insights.Project, key, "Security Insights 2.0.0 requires it")
	}
	for _, key := range []string{"url", "status", "accepts-change-request", "accepts-automated-change-request", "core-team", "license", "security"} {
		assert.Contains(t, insights.Repository, key, "Security Insights 2.0.0 requires it")
	}
	files := regexp.MustCompile(`(?:/blob/main/|githubusercontent\.com/extauth-guard/extauth-guard/main/)(\S+)`).FindAllStringSubmatch(string(raw), -1)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		_, err := os.Stat(checkout.Path(t, file[1]))
		assert.NoError(t, err, "SECURITY-INSIGHTS.yml points to %s", file[1])
	}
}
