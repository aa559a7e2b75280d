// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// unconsented is true if the policy wants the consent of whoever owns the Service of
// a rule, and the Service does not give it. A Service that nobody has looked at, and
// one whose annotations do not parse, are other findings.
func (s subject) unconsented(policy *ClusterPolicy) bool {
	_, exists := s.facts.Services[s.rule.Service]
	return policy.consented && exists && s.readable && foreignService(s.view, s.rule) && !s.fronts() &&
		!slices.Contains(s.allowFrom, s.view.Namespace)
}

// checkConsent reports a rule that exposes a Service of another namespace without the
// consent that ExtAuthPolicies want.
func checkConsent(s subject) []Finding {
	var policies []*ClusterPolicy
	for _, one := range s.matching.of(s.rule) {
		if s.unconsented(one) && !s.matching.exempt(one, s.rule) {
			policies = append(policies, one)
		}
	}
	if len(policies) == 0 {
		return nil
	}
	return []Finding{s.withoutConsent(policies)}
}

func (s subject) withoutConsent(policies []*ClusterPolicy) Finding {
	verb, severity := "requires", Report
	if len(policies) > 1 {
		verb = "require"
	}
	for _, one := range policies {
		severity = stricter(severity, one.severity)
	}
	finding := newFinding(PolicyViolation, severity, s.rule.ServiceField(), s.rule.Service.String(),
		fmt.Sprintf("%s %s the consent of the Service's owner, but %s does not name the namespace %q; have its owner add the annotation %s: %s",
			names(policies), verb, annotation.AllowFrom, s.view.Namespace, annotation.AllowFrom, s.view.Namespace),
		fmt.Sprintf("%s %s the consent of the Service's owner", names(policies), verb))
	finding.Subject, finding.Opens = "consent "+s.rule.Service.String(), s.opens()
	return finding
}
