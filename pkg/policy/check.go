// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Check tells what is wrong with an APIRule as it would be stored, in the order
// of the rules and, for each rule, of the checks. It is deterministic, and it
// never looks at anything but its arguments.
//
// An APIRule that is skipped as a whole has no findings; one that belongs to
// another controller, and a rule in front of an authorizer itself, has warnings
// only.
func Check(view apirule.View, facts Facts, settings Settings) []Finding {
	switch reason := skip(view, settings); reason {
	case "":
		return check(view, facts, settings)
	case ControllerOwned:
		return demoteAll(check(view, facts, settings))
	default:
		return nil
	}
}

func check(view apirule.View, facts Facts, settings Settings) []Finding {
	all := newLevels(view, facts)
	all.siblings = newSiblings(view.Rules, facts.Services)
	found := all.faults(view, facts.Registry)
	for _, rule := range view.Rules {
		of := newSubject(rule, all, view, facts, settings).check()
		if facts.Registry.Fronts(rule.Service) != "" {
			of = demoteAll(of)
		}
		found = append(found, of...)
	}
	return distinct(found)
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
	cluster  cluster // the policies that match view
	siblings *siblings
}

func newSubject(rule apirule.Rule, all levels, view apirule.View, facts Facts, settings Settings) subject {
	want, readable := all.intentOf(rule, settings)
	return subject{rule: rule, want: want, readable: readable, view: view, facts: facts, settings: settings, cluster: all.cluster, siblings: all.siblings}
}

func (s subject) check() []Finding {
	var found []Finding
	for _, one := range []func(subject) []Finding{
		checkRegistered,
		checkConflict,
		checkInjected,
		checkPolicies,
		checkOptOut,
		checkOpenPaths,
		checkEffective,
		checkReady,
		checkLeftOpen,
		checkShadowed,
		checkService,
		checkSidecar,
		checkInternalTraffic,
	} {
		found = append(found, one(s)...)
	}
	return found
}

// checkInjected reports a rule that injection would have protected: something
// kept the mutating webhook from doing so.
func checkInjected(s subject) []Finding {
	if !s.readable || !s.rule.Unprotected() || s.fronts() || reasonFor(s.rule, s.want) != Injected {
		return nil
	}
	sentence := fmt.Sprintf("%s asks for the authorizers %s, but the rule has none: the mutating webhook did not run; apply the object again, and if that does not help ask your platform team whether extauth-guard runs",
		s.want.from, strings.Join(s.want.authorizers, ", "))
	return []Finding{newFinding(InjectionMissing, Deny, s.rule.Field(), s.rule.Path, sentence,
		"asked to inject, but the rule is open; apply the object again")}
}

// checkLeftOpen reports a rule whose author asked for injection and said
// "noAuth: true" all the same.
func checkLeftOpen(s subject) []Finding {
	if !s.readable || s.fronts() || reasonFor(s.rule, s.want) != LeftOpen {
		return nil
	}
	sentence := fmt.Sprintf("%s asks for injection, but the rule says \"noAuth: true\" and stays open to everybody; remove noAuth, or allow to replace it with the annotation %s: noAuth",
		s.want.from, annotation.Replace)
	return []Finding{newFinding(RuleLeftOpen, Warn, s.rule.Field().Child("noAuth"), s.rule.Path, sentence,
		fmt.Sprintf("stays open; remove noAuth or annotate %s: noAuth", annotation.Replace))}
}

// fronts is true if the rule exposes the Service of an authorizer.
func (s subject) fronts() bool {
	return s.facts.Registry.Fronts(s.rule.Service) != ""
}

func demoteAll(findings []Finding) []Finding {
	for i := range findings {
		findings[i] = findings[i].demoted()
	}
	return findings
}

// maxListed is how many names a sentence lists before it counts the rest.
const maxListed = 10

func enumerate(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > maxListed:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), len(names)-maxListed)
	}
	return strings.Join(names, ", ")
}
