// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strconv"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// checkLimits reports the lists of an APIRule that are longer than what is read of
// them: nothing is known of the rest. An update is refused that changes such a
// list; see [apirule.Excess].
func checkLimits(view apirule.View) []Finding {
	var found []Finding
	for _, excess := range view.Excess {
		finding := newFinding(LimitExceeded, Deny, excess.Field, strconv.Itoa(excess.Count),
			fmt.Sprintf("has %d entries, and at most %d are looked at; split the APIRule", excess.Count, excess.Max),
			fmt.Sprintf("has %d entries; at most %d are looked at", excess.Count, excess.Max))
		finding.Subject = fmt.Sprintf("%s %x", excess.Field, excess.Digest)
		found = append(found, finding)
	}
	return found
}
