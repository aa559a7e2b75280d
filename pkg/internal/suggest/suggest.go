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
	length := utf8.RuneCountInString(name)
	best, limit := "", min(2, (length-1)/2)
	for _, candidate := range candidates {
		// A difference in length is that many edits. Comparing the rest of a long
		// name with each candidate would cost the product of their lengths.
		if more := length - utf8.RuneCountInString(candidate); candidate == name || more > limit || -more > limit {
			continue
		}
		distance := levenshtein.ComputeDistance(name, candidate)
		if distance < limit || (distance == limit && best == "") {
			best, limit = candidate, distance
		}
	}
	return best
}
