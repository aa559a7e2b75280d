// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package suggest finds what somebody probably meant to write.
package suggest

import (
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the candidate with the fewest edits from name, or "" when
// none is close enough to be a likely typo: at most two edits, and fewer than
// half of the name. The first of equally near candidates wins, so sorted
// candidates give a stable answer. name itself is never returned.
func Nearest(name string, candidates []string) string {
	best, limit := "", min(2, (utf8.RuneCountInString(name)-1)/2)
	for _, candidate := range candidates {
		if candidate == name {
			continue
		}
		distance := levenshtein.ComputeDistance(name, candidate)
		if distance < limit || (distance == limit && best == "") {
			best, limit = candidate, distance
		}
	}
	return best
}
