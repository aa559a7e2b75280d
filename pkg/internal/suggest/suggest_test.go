// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
)

func TestNearest(t *testing.T) {
	cases := map[string]struct {
		name       string
		candidates []string
		want       string
	}{
		"two letters swapped are two edits":                {"ouath2-proxy", []string{"corp", "oauth2-proxy"}, "oauth2-proxy"},
		"a missing letter is one edit":                     {"oauth2-prox", []string{"oauth2-proxy"}, "oauth2-proxy"},
		"three edits are no typo":                          {"auth-proxy-x", []string{"oauth2-proxy"}, ""},
		"the nearest wins over the first":                  {"corpo", []string{"cargo", "corps"}, "corps"},
		"the first of equally near ones wins":              {"corp-x", []string{"corp-a", "corp-b"}, "corp-a"},
		"half of a short name is too much":                 {"ab", []string{"ac"}, ""},
		"one edit of three letters is less than half":      {"abc", []string{"abd"}, "abd"},
		"two edits of four letters are half of it":         {"abcd", []string{"abxy"}, ""},
		"two edits of five letters are less than half":     {"abcde", []string{"abcxy"}, "abcxy"},
		"letters are counted, not bytes":                   {"éé", []string{"éa"}, ""},
		"the name itself is never meant":                   {"corp", []string{"corp"}, ""},
		"the name itself does not hide what is near":       {"corp", []string{"corp", "corps"}, "corps"},
		"capitals are edits":                               {"noauth", []string{"noAuth"}, "noAuth"},
		"an empty name is near to nothing":                 {"", []string{"", "a"}, ""},
		"without candidates there is nothing to suggest":   {"corp", nil, ""},
		"an empty candidate is as far as the name is long": {"abc", []string{""}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(tc.candidates)
			assert.Equal(t, tc.want, suggest.Nearest(tc.name, tc.candidates))
			assert.Equal(t, before, tc.candidates, "the candidates are only read")
		})
	}
}
