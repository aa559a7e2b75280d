// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bound_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for length := range 200 {
		for _, character := range []string{"a", "é", "€", "😀", "\xff"} {
			text := strings.Repeat(character, length)
			got := bound.Text(text)
			assert.LessOrEqual(t, len(got), bound.MaxText)
			if len(text) <= bound.MaxText {
				assert.Equal(t, text, got)
				continue
			}
			assert.True(t, strings.HasSuffix(got, "…"), got)
			assert.True(t, strings.HasPrefix(text, strings.TrimSuffix(got, "…")))
			if character != "\xff" {
				assert.True(t, utf8.ValidString(got), got)
			}
		}
	}
}

func TestListNamesTheFirstAndCountsTheRest(t *testing.T) {
	names := strings.Split(strings.Repeat("a,", 19)+"a", ",")
	assert.Equal(t, "none", bound.List(nil))
	assert.Equal(t, "a, a", bound.List(names[:2]))
	assert.Equal(t, strings.TrimSuffix(strings.Repeat("a, ", 16), ", "), bound.List(names[:16]))
	assert.Equal(t, strings.TrimSuffix(strings.Repeat("a, ", 16), ", ")+" and 4 more", bound.List(names))
	assert.LessOrEqual(t, len(bound.List([]string{strings.Repeat("a", 1000)})), bound.MaxText)
}
