// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Judgement is all that there is to say about one APIRule: what is wrong with it, what
// holds for whoever calls it, and how it stands to the policies that match it.
type Judgement struct {
	// Findings are those of [Check].
	Findings []Finding
	// Rules has the verdict on each rule, in their order, and Verdict the worst.
	Rules   []RuleVerdict
	Verdict RuleVerdict
	// Assessments are those of [Assess].
	Assessments []Assessment
}

// Judge judges an APIRule as it is, or as it would be stored: every front end tells what
// it returns, and none works out a verdict by itself. It is deterministic, and it never
// looks at anything but its arguments.
//
// The verdict is on what is declared to the mesh. It does not depend on whether this
// project leaves the APIRule alone: findings do, see [Check].
func Judge(view apirule.View, facts Facts, settings Settings) Judgement {
	pass := newPass(view, facts, settings)
	judged := Judgement{Rules: make([]RuleVerdict, 0, len(view.Rules)), Assessments: pass.unassessed()}
	findings := pass.ofAPIRule()
	for _, rule := range view.Rules {
		s := pass.subject(rule)
		found := s.check()
		judged.Rules = append(judged.Rules, s.verdict(found))
		findings = append(findings, pass.demoted(rule, found)...)
		pass.assess(s, judged.Assessments)
	}
	judged.Findings = pass.told(findings)
	judged.Verdict = Worst(judged.Rules)
	if judged.Verdict.Verdict.Compare(Unknown) > 0 && len(view.Excess) > 0 {
		judged.Verdict = RuleVerdict{Verdict: Unknown, Why: "it has more rules or entries than are read"}
	}
	return judged
}

// pass is one look at an APIRule, from which everything else follows.
type pass struct {
	view     apirule.View
	facts    Facts
	settings Settings
	levels   levels
	skipped  Reason
}

func newPass(view apirule.View, facts Facts, settings Settings) *pass {
	one := &pass{view: view, facts: facts, settings: settings, levels: newLevels(view, facts), skipped: skip(view, settings)}
	one.levels.siblings = newSiblings(view.Rules, facts.Services)
	return one
}

func (p *pass) subject(rule apirule.Rule) subject {
	return newSubject(rule, &p.levels, p.view, p.facts, p.settings)
}

// ofAPIRule returns the findings that belong to no rule.
func (p *pass) ofAPIRule() []Finding {
	return slices.Concat(checkLimits(p.view), p.levels.faults(p.view, p.facts.Registry), checkHosts(p.view, p.facts))
}

// demoted returns the findings of a rule: warnings only where the rule is the way to an
// authorizer itself.
func (p *pass) demoted(rule apirule.Rule, found []Finding) []Finding {
	if p.facts.Registry.Fronts(p.view, rule) {
		return demoteAll(found)
	}
	return found
}

// told returns what is said of findings: nothing about an APIRule that is skipped as a
// whole, and warnings only about one that belongs to another controller.
func (p *pass) told(findings []Finding) []Finding {
	switch p.skipped {
	case "":
		return distinct(findings)
	case ControllerOwned:
		return demoteAll(distinct(findings))
	default:
		return nil
	}
}
