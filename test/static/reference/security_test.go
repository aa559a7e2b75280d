// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// TestThreatModelNamesTestsThatExist follows each "file" "Test/part" of the page.
func TestThreatModelNamesTestsThatExist(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "docs/security.md"))
	require.NoError(t, err)
	named := regexp.MustCompile("`((?:pkg|test)/[\\w/]+_test\\.go)`(?:\\s+`((?:Test|Fuzz)\\w+)(?:/([^`]+))?`)?").FindAllStringSubmatch(string(raw), -1)
	assert.Greater(t, len(named), 20, "the page names its tests in another way")
	for _, one := range named {
		source, err := os.ReadFile(checkout.Path(t, one[1]))
		require.NoError(t, err)
		if one[2] != "" {
			assert.Contains(t, string(source), "func "+one[2]+"(", "%s", one[1])
		}
		if one[3] != "" {
			assert.Contains(t, string(source), `t.Run("`+one[3]+`"`, "%s", one[1])
		}
	}
}

// TestLinksToRunbooksLead is about the operations page and the alerts of the
// chart, whose names are the sections of the runbooks.
func TestLinksToRunbooksLead(t *testing.T) {
	read := func(path string) string {
		raw, err := os.ReadFile(checkout.Path(t, path))
		require.NoError(t, err)
		return string(raw)
	}
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(read("docs/runbooks.md"), -1) {
		sections[strings.ToLower(heading[1])] = true
	}
	linked := regexp.MustCompile(`runbooks\.md#(\w+)`).FindAllStringSubmatch(read("docs/operations.md"), -1)
	alerts := regexp.MustCompile(`(?m)^- alert: (\w+)$`).FindAllStringSubmatch(read("charts/extauth-guard/files/alerts.yaml"), -1)
	require.NotEmpty(t, linked)
	require.NotEmpty(t, alerts)
	for _, one := range append(linked, alerts...) {
		assert.True(t, sections[strings.ToLower(one[1])], "docs/runbooks.md has no section %s", one[1])
	}
}
