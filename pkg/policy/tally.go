// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"
)

// Tally is how many APIRules have which verdict. The zero value has none.
type Tally map[Verdict]int

// Add counts n more.
func (t *Tally) Add(verdict Verdict, n int) {
	if *t == nil {
		*t = Tally{}
	}
	(*t)[verdict] += n
}

// String says how many have which verdict, the worst first: "1 Open, 3 Protected"; "" for
// none.
func (t Tally) String() string {
	var each []string
	for _, verdict := range Verdicts() {
		if n := t[verdict]; n > 0 {
			each = append(each, fmt.Sprintf("%d %s", n, verdict))
		}
	}
	return strings.Join(each, ", ")
}
