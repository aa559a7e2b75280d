// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Coverage counts APIRules, each once, by the first that is true of it.
type Coverage struct {
	APIRules int
	// Violating a policy; NotEnforced: protected by declaration only; Open: against what
	// was asked for; Blocked: every request gets 403.
	Violating, NotEnforced, Open, Blocked int
}

func coverage(b *book) Coverage {
	var of Coverage
	b.all(func(_ types.NamespacedName, one *judged) {
		of.APIRules++
		violates := slices.ContainsFunc(one.standings, func(s standing) bool { return s.state == policy.Violating })
		switch {
		case violates:
			of.Violating++
		case one.verdict == policy.NotEnforced:
			of.NotEnforced++
		case one.verdict == policy.Open && len(one.grave) > 0:
			of.Open++
		case one.verdict == policy.Blocked:
			of.Blocked++
		}
	})
	return of
}
