// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// checkPolicies reports a rule that lacks what ExtAuthPolicies require. Policies
// that require the same make one finding, with the severity of the strictest.
func checkPolicies(s subject) []Finding {
	var found []Finding
	for _, group := range byRequirement(s.matching.of(s.rule), func(one *ClusterPolicy) bool { return s.violates(one) }) {
		found = append(found, s.violation(group))
	}
	return found
}

// byRequirement groups the policies that wanted says, in their order.
func byRequirement(policies []*ClusterPolicy, wanted func(*ClusterPolicy) bool) [][]*ClusterPolicy {
	var groups [][]*ClusterPolicy
	for _, one := range policies {
		if !wanted(one) {
			continue
		}
		at := slices.IndexFunc(groups, func(group []*ClusterPolicy) bool { return group[0].requirement.text == one.requirement.text })
		if at < 0 {
			groups = append(groups, []*ClusterPolicy{one})
			continue
		}
		groups[at] = append(groups[at], one)
	}
	return groups
}

// violates is true if the rule lacks what the policy requires and nothing
// excuses it. A rule in front of an authorizer has to be open.
func (s subject) violates(policy *ClusterPolicy) bool {
	return s.lacks(policy) && !s.matching.exempt(policy, s.rule)
}

func (s subject) lacks(policy *ClusterPolicy) bool {
	return policy.requirement != nil && s.rule.Strategy != apirule.Malformed && !s.fronts() &&
		!policy.requirement.holds(s.rule, s.facts.Registry)
}

func (s subject) violation(policies []*ClusterPolicy) Finding {
	wanted := policies[0].requirement.text
	severity := Report
	for _, one := range policies {
		severity = stricter(severity, one.severity)
	}
	verb := "requires"
	if len(policies) > 1 {
		verb = "require"
	}
	way, brief := "name one in extAuth.authorizers, or ask the owner of the policy for an exemption", ""
	if not := notReady(policies, s.facts.Registry); not != "" {
		way = not + "; ask its owner to correct it, or for an exemption"
		brief = ", and is not Ready"
	}
	finding := newFinding(PolicyViolation, severity, s.rule.Field(), s.rule.Path,
		fmt.Sprintf("%s %s %s, but the rule %s; %s", names(policies), verb, wanted, s.has(), way),
		fmt.Sprintf("%s %s %s%s", names(policies), verb, wanted, brief))
	finding.Subject, finding.Opens = wanted, s.opens()
	return finding
}

// notReady says of the first of policies that is not Ready that it is not, and why; "" if
// all are.
func notReady(policies []*ClusterPolicy, registry Registry) string {
	for _, one := range policies {
		if _, why := one.NotReady(registry); why != "" {
			return fmt.Sprintf("ExtAuthPolicy %s is not Ready, because %s", one.Name, why)
		}
	}
	return ""
}

func (s subject) opens() *Opening {
	return &Opening{view: s.view, rule: s.rule}
}

// has says in words what protects the rule now.
func (s subject) has() string {
	switch {
	case s.rule.Strategy == apirule.NoAuth:
		return `says "noAuth: true"`
	case s.rule.Strategy == apirule.JWT:
		return "has only a jwt"
	case len(s.rule.Authorizers) > 0:
		return "has " + bound.List(s.rule.Authorizers)
	}
	return "has no access strategy"
}

func stricter(a, b Severity) Severity {
	rank := map[Severity]int{Report: 0, Warn: 1, Deny: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// checkOptOut reports a rule that somebody keeps injection from where a policy
// forbids that.
func checkOptOut(s subject) []Finding {
	var forbidding []*ClusterPolicy
	for _, one := range s.matching.of(s.rule) {
		if s.optsOut(one) {
			forbidding = append(forbidding, one)
		}
	}
	if len(forbidding) == 0 {
		return nil
	}
	return []Finding{s.optOut(forbidding)}
}

func (s subject) optsOut(policy *ClusterPolicy) bool {
	return policy.forbidden && s.readable && s.want.inject != nil && !*s.want.inject && !s.fronts() &&
		!s.matching.exempt(policy, s.rule)
}

func (s subject) optOut(policies []*ClusterPolicy) Finding {
	path, value := annotation.Path(annotation.Inject), "false"
	switch {
	case strings.HasPrefix(s.want.from, "Service"):
		path, value = s.rule.ServiceField(), s.rule.Service.String()
	case s.want.from == "Namespace":
		path, value = field.NewPath("metadata", "namespace"), s.view.Namespace
	case strings.HasPrefix(s.want.from, "Namespace "):
		path, value = s.rule.ServiceField(), s.rule.Service.String()
	}
	finding := optOutFinding(policies, path, value, fmt.Sprintf("%s says %s: \"false\"", s.want.from, annotation.Inject))
	finding.Subject = s.want.from
	return finding
}

func optOutFinding(policies []*ClusterPolicy, path *field.Path, value, said string) Finding {
	verb := "forbids"
	if len(policies) > 1 {
		verb = "forbid"
	}
	return newFinding(OptOutForbidden, Deny, path, value,
		fmt.Sprintf("%s, and %s %s to opt out; remove the annotation there, or ask the owner of the policy for an exemption", said, names(policies), verb),
		fmt.Sprintf("%s %s to opt out", names(policies), verb))
}

// State says how an APIRule stands to one policy.
type State string

// The states.
const (
	// Compliant: every rule has what is required.
	Compliant State = "Compliant"
	// Exempt: what is missing is excused.
	Exempt State = "Exempt"
	// Violating: at least one rule lacks what is required.
	Violating State = "Violating"
	// Excluded: the configuration leaves the namespace of the APIRule alone, so nobody
	// looked what it lacks.
	Excluded State = "Excluded"
)

// Assessment is how an APIRule stands to one policy that matches it.
type Assessment struct {
	Policy string
	State  State
	// Violations are the findings by rule, in the order of the rules. Each names
	// this policy only.
	Violations []RuleFinding
}

// RuleFinding is a finding of one rule.
type RuleFinding struct {
	Rule    int
	Finding Finding
}

// Assess tells how an APIRule stands to each policy that matches it, in the
// order of the policies. An APIRule that [Check] says nothing about, because it
// is being deleted or cannot be read, stands to none.
func Assess(view apirule.View, facts Facts, settings Settings) []Assessment {
	pass := newPass(view, facts, settings)
	assessments := pass.unassessed()
	if len(assessments) == 0 {
		return nil
	}
	for _, rule := range view.Rules {
		pass.assess(pass.subject(rule), assessments)
	}
	return assessments
}

// unassessed returns how an APIRule without rules stands to each policy that matches it;
// nil if it stands to none.
func (p *pass) unassessed() []Assessment {
	state := Compliant
	switch p.skipped {
	case "", ControllerOwned:
	case NamespaceExcluded:
		state = Excluded
	default:
		return nil
	}
	if len(p.levels.matching.policies) == 0 {
		return nil
	}
	assessments := make([]Assessment, len(p.levels.matching.policies))
	for i, one := range p.levels.matching.policies {
		assessments[i] = Assessment{Policy: one.Name, State: state}
	}
	return assessments
}

// assess adds how one rule stands to the policies.
func (p *pass) assess(s subject, into []Assessment) {
	if p.skipped == NamespaceExcluded {
		return
	}
	for i := range into {
		if one := p.levels.matching.policies[i]; slices.Contains(p.levels.matching.of(s.rule), one) {
			s.assess(one, &into[i])
		}
	}
}

func (s subject) assess(policy *ClusterPolicy, into *Assessment) {
	alone := []*ClusterPolicy{policy}
	unconsented := s.unconsented(policy)
	exempt := s.matching.exempt(policy, s.rule)
	if (s.lacks(policy) || unconsented) && exempt && into.State == Compliant {
		into.State = Exempt
	}
	var found []Finding
	if s.violates(policy) {
		found = append(found, s.violation(alone))
	}
	if unconsented && !exempt {
		found = append(found, s.withoutConsent(alone))
	}
	if s.optsOut(policy) {
		found = append(found, s.optOut(alone))
	}
	for _, one := range found {
		into.State = Violating
		into.Violations = append(into.Violations, RuleFinding{Rule: s.rule.Index, Finding: one})
	}
}
