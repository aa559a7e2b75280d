// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

func TestParseRemovals(t *testing.T) {
	end := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	got, errs := annotation.ParseRemovals(nil, " a , b@2026-12-01T10:00:00Z")
	assert.Empty(t, errs)
	assert.Equal(t, []annotation.Removal{{Authorizer: "a"}, {Authorizer: "b", Until: end}}, got)
	assert.Equal(t, "a", got[0].String())
	assert.Equal(t, "b@2026-12-01T10:00:00Z", got[1].String())

	for value, want := range map[string]string{
		"":                               "must name at least one",
		"a,,b":                           "has an empty entry",
		"a,a":                            `names "a" twice`,
		"a,a@2026-12-01T10:00:00Z":       `names "a" twice`,
		"A":                              `"A" is not a name`,
		"@2026-12-01T10:00:00Z":          `"" is not a name`,
		"a@":                             `"" is no time in RFC 3339; write for example "a@2026-12-01T10:00:00Z"`,
		"a@2026-12-01":                   `"2026-12-01" is no time`,
		"a@0001-01-01T00:00:00Z":         "is no time",
		"a@b@2026-12-01T10:00:00Z":       "is no time",
		strings.Repeat("a,", 16) + "a":   "has 17 entries",
		"a@" + strings.Repeat("9", 5000): "has 5002 bytes",
	} {
		got, errs := annotation.ParseRemovals(annotation.Path(annotation.AllowRemoval), value)
		assert.Empty(t, got, value)
		if assert.NotEmpty(t, errs, value) {
			assert.Contains(t, errs[0].Error(), want)
		}
	}
}
