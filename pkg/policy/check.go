// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// Check tells what is wrong with an APIRule as it would be stored, in the order
// of the rules and, for each rule, of the checks. It is deterministic, and it
// never looks at anything but its arguments.
//
// An APIRule that is skipped as a whole has no findings; one that belongs to
// another controller, and a rule in front of an authorizer itself, has warnings
// only.
func Check(view apirule.View, facts Facts, settings Settings) []Finding {
	if reason := skip(view, settings); reason != "" && reason != ControllerOwned {
		return nil
	}
	pass := newPass(view, facts, settings)
	findings := pass.ofAPIRule()
	for _, rule := range view.Rules {
		findings = append(findings, pass.demoted(rule, pass.subject(rule).check())...)
	}
	return pass.told(findings)
}

// distinct leaves out what was said before: rules that share the Service of the
// spec share its faults.
func distinct(findings []Finding) []Finding {
	type said struct {
		code           Code
		field, subject string
	}
	seen := make(map[said]bool, len(findings))
	return slices.DeleteFunc(findings, func(finding Finding) bool {
		key := said{finding.Code, finding.Err.Field, finding.Subject}
		repeated := seen[key]
		seen[key] = true
		return repeated
	})
}

// subject is one rule with everything that a check of it may look at.
type subject struct {
	rule     apirule.Rule
	want     intent
	readable bool // want can be relied on
	view     apirule.View
	facts    Facts
	settings Settings
	matching matching // the policies that match view
	siblings *siblings
	// allowFrom are the namespaces that the Service lets expose it.
	allowFrom []string
}

func newSubject(rule apirule.Rule, all *levels, view apirule.View, facts Facts, settings Settings) subject {
	want, readable := all.intentOf(view, rule, settings)
	return subject{
		rule: rule, want: want, readable: readable, view: view, facts: facts, settings: settings, matching: all.matching, siblings: all.siblings,
		allowFrom: all.services[rule.Service].allows(),
	}
}

func (s subject) check() []Finding {
	var found []Finding
	for _, one := range []func(subject) []Finding{
		checkRegistered,
		checkNamedEntries,
		checkConflict,
		checkInjected,
		checkForeign,
		checkPolicies,
		checkConsent,
		checkOptOut,
		checkOpenPaths,
		checkNamedFit,
		checkEffective,
		checkReady,
		checkAdvisories,
		checkLeftOpen,
		checkShadowed,
		checkService,
		checkSidecar,
		checkWidening,
		checkInternalTraffic,
	} {
		found = append(found, one(s)...)
	}
	return found
}

// checkInjected reports a rule that injection would have protected: something
// kept the mutating webhook from doing so.
func checkInjected(s subject) []Finding {
	if !s.readable || !s.rule.Unprotected() || s.facts.Registry.Behind(s.rule.Service) != "" || reasonFor(s.rule, s.want) != Injected {
		return nil
	}
	sentence := fmt.Sprintf("%s asks for the authorizers %s, but the rule has none: the mutating webhook did not run; apply the object again, and if that does not help ask your platform team whether extauth-guard runs",
		s.want.from, strings.Join(s.want.authorizers, ", "))
	finding := newFinding(InjectionMissing, Deny, s.rule.Field(), s.rule.Path, sentence,
		"asked to inject, but the rule is open; apply the object again")
	finding.Opens = s.opens()
	return []Finding{finding}
}

// checkLeftOpen reports a rule whose author asked for injection and said
// "noAuth: true" all the same.
func checkLeftOpen(s subject) []Finding {
	if !s.readable || s.want.required || s.fronts() || reasonFor(s.rule, s.want) != LeftOpen {
		return nil
	}
	sentence := fmt.Sprintf("%s asks for injection, but the rule says \"noAuth: true\" and stays open to everybody; remove noAuth, or allow to replace it with the annotation %s: noAuth",
		s.want.from, annotation.Replace)
	return []Finding{newFinding(RuleLeftOpen, Warn, s.rule.Field().Child("noAuth"), s.rule.Path, sentence,
		fmt.Sprintf("stays open; remove noAuth or annotate %s: noAuth", annotation.Replace))}
}

// checkForeign reports a rule that exposes a Service of another namespace more
// openly than its owner wants. A jwt is no substitute: the author of the APIRule
// chooses whose tokens it takes.
func checkForeign(s subject) []Finding {
	if !s.readable || !s.want.required || s.fronts() || reasonFor(s.rule, s.want) == Injected {
		return nil
	}
	var has string
	switch s.rule.Strategy {
	case apirule.NoAuth:
		has = `says "noAuth: true"`
	case apirule.JWT:
		has = "has a jwt, whose issuer the APIRule chooses"
	default:
		return nil
	}
	finding := newFinding(ForeignServiceOpen, Deny, s.rule.Field(), s.rule.Path,
		fmt.Sprintf("%s asks for the authorizers %s, but the rule %s; name them in extAuth.authorizers, or have the owner of the namespace %s annotate %s",
			s.want.from, bound.List(s.want.authorizers), has, s.rule.Service.Namespace, annotation.Replace),
		fmt.Sprintf("%s asks for %s, but the rule %s", s.want.from, bound.List(s.want.authorizers), s.rule.Strategy))
	finding.Subject, finding.Opens = s.want.from, s.opens()
	return []Finding{finding}
}

// fronts is true if the rule is the way to an authorizer itself.
func (s subject) fronts() bool {
	return s.facts.Registry.Fronts(s.view, s.rule)
}

func demoteAll(findings []Finding) []Finding {
	for i := range findings {
		findings[i] = findings[i].demoted()
	}
	return findings
}
