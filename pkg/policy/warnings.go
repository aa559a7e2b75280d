// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// maxWarnings is how many warnings one answer has, before it counts the rest.
const maxWarnings = 5

// Warnings renders findings as the warnings of one answer, each at most 120 characters
// long: first those by which somebody may get in who should not, then those by which
// every request gets 403, then the others. More than five are counted. The order of
// findings that are equally bad is kept.
func Warnings(findings []Finding) []string {
	ordered := slices.Clone(findings)
	slices.SortStableFunc(ordered, func(a, b Finding) int { return harm(a.Code) - harm(b.Code) })
	var warnings []string
	for _, finding := range ordered {
		if text := finding.Warning(); !slices.Contains(warnings, text) {
			warnings = append(warnings, text)
		}
	}
	if more := len(warnings) - maxWarnings; more > 1 {
		warnings = append(warnings[:maxWarnings], fmt.Sprintf("and %d more warnings; kubectl extauth lint shows all of them", more))
	}
	return warnings
}

// harm orders what findings mean for the requests.
func harm(code Code) int {
	switch code {
	case AuthorizerInvalid, AuthorizerNotRegistered, AuthorizerConflict, AuthorizerUnready, AuthorizerNotEffective, ServiceNotFound:
		return 1 // nobody gets in
	case InternalTrafficBlocked, LegacyVersion, RegistryUnknown, LimitExceeded:
		return 2
	default:
		return 0 // somebody may get in
	}
}

// Unasked is a warning about rules that have no access strategy while nobody asked for
// one, which Kyma's CRD refuses after the mutating webhooks; "" if there are none. It is
// no finding, because nothing of it is refused by us.
func (i Injection) Unasked(view apirule.View) string {
	for _, outcome := range i.Outcomes {
		if outcome.Reason != NotRequested || outcome.From != "" {
			continue
		}
		at := slices.IndexFunc(view.Rules, func(rule apirule.Rule) bool { return rule.Index == outcome.Rule })
		if at >= 0 && view.Rules[at].Strategy == apirule.Open {
			return fmt.Sprintf("%s: no access strategy, so it is refused; to protect it annotate %s: \"true\"", view.Rules[at].Field(), annotation.Inject)
		}
	}
	return ""
}
