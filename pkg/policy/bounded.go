// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// Bounded returns what an answer says of findings: of each code and severity the
// first 16, and then one more that counts the rest, at the place of the first that
// is left out. What denies is counted as a denial, so that no answer becomes milder.
//
// It is for what is written for people, after [Ratchet]: comparing findings needs
// all of them.
func Bounded(findings []Finding) []Finding {
	type group struct {
		code     Code
		severity Severity
	}
	counts := make(map[group]int, 4)
	for _, finding := range findings {
		counts[group{finding.Code, finding.Severity}]++
	}
	said := make(map[group]int, len(counts))
	kept := make([]Finding, 0, min(len(findings), (bound.MaxListed+1)*len(counts)))
	for _, finding := range findings {
		of := group{finding.Code, finding.Severity}
		said[of]++
		left := counts[of] - bound.MaxListed
		switch {
		case said[of] <= bound.MaxListed || left == 1:
			kept = append(kept, finding)
		case said[of] == bound.MaxListed+1:
			kept = append(kept, more(finding, left))
		}
	}
	return slices.Clip(kept)
}

// more is the finding that stands for as many as are left out, the first of them
// included.
func more(first Finding, left int) Finding {
	text := fmt.Sprintf("and %d more of this kind, from here on", left)
	err := *first.Err
	err.Type, err.Detail = field.ErrorTypeInvalid, fmt.Sprintf("%s [%s]", text, first.Code)
	first.Err, first.Brief = &err, text
	return first
}
