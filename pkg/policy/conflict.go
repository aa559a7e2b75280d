// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkConflict reports a rule that would give the workload behind it a second
// CUSTOM provider. istiod then denies every request of the rules of both (Istio
// up to 1.29: always; later, unless several are enabled: Istio pilot,
// features/security.go), while Kyma reports the APIRules as Ready.
//
// The other side is searched nearest first: in the rule, in the rules before it,
// and around the APIRule.
func checkConflict(s subject) []Finding {
	if len(s.rule.Authorizers) == 0 {
		return nil
	}
	own := s.rule.Authorizers[0]
	for i, name := range s.rule.Authorizers {
		if name != own {
			return []Finding{s.conflict(s.rule.AuthorizerField(i), name, own, "this rule")}
		}
	}
	if s.siblings.mixed {
		other := func(one use) bool { return one.authorizer != own }
		if earlier, conflicts := s.siblings.uses.before(s.rule, other); conflicts {
			return []Finding{s.conflict(s.rule.AuthorizerField(0), own, earlier.authorizer, earlier.rule.Field().String())}
		}
	}
	conflicts := func(left bool) func(Neighbour) bool {
		return func(one Neighbour) bool { return one.Left == left && one.Authorizer != "" && one.Authorizer != own }
	}
	neighbours := s.facts.Neighbours[s.rule.Service]
	at := slices.IndexFunc(neighbours, conflicts(false))
	if at < 0 {
		at = slices.IndexFunc(neighbours, conflicts(true))
	}
	if at < 0 {
		return nil
	}
	return []Finding{s.conflictWith(neighbours[at], own)}
}

// conflictWith is about an object around the APIRule.
func (s subject) conflictWith(neighbour Neighbour, own string) Finding {
	by := neighbour.Object
	if neighbour.Left {
		by = "the policies of an earlier version of " + by + ", which Kyma did not replace"
	}
	finding := s.conflict(s.rule.AuthorizerField(0), own, neighbour.Authorizer, by)
	if neighbour.Left || neighbour.Foreign && s.view.Namespace == s.rule.Service.Namespace {
		// Nobody can keep the owner of a Service from protecting it; the other APIRule has
		// the same finding, and there it denies. What is left goes by itself in a moment,
		// unless Kyma refused the other APIRule.
		finding = finding.demoted()
	}
	finding.Foreign = foreignObject(neighbour.Object, s.view.Namespace)
	return finding
}

func (s subject) conflict(path *field.Path, name, other, by string) Finding {
	severity := Deny
	consequence := "istiod allows one authorizer for each workload and would answer all requests of both with 403"
	if s.settings.SeveralAuthorizers {
		severity, consequence = Warn, "requests have to satisfy both"
	}
	finding := newFinding(AuthorizerConflict, severity, path, name,
		fmt.Sprintf("the workload behind Service %s would also get the authorizer %q, from %s: %s; use the same authorizer in both, or separate Services whose selectors share no Pod",
			s.rule.Service, other, by, consequence),
		fmt.Sprintf("%q from %s acts on the same workload", other, by))
	finding.Subject = strings.Join([]string{s.rule.Service.String(), name, other}, " ")
	return finding
}
