// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Reason says what became of a rule, or why nothing did. Reasons are API, like
// codes.
type Reason string

// Reasons that concern a whole APIRule: nothing is injected and nothing denied.
const (
	// Deleting: a deletion timestamp is set. Kyma's controller removes its
	// finalizer with a dummy spec, and must never be stopped.
	Deleting Reason = "Deleting"
	// LegacyObject: written as v1beta1, and there is no v2 form of it.
	LegacyObject Reason = "LegacyObject"
	// ControllerOwned: some other controller owns the object and would fight.
	ControllerOwned Reason = "ControllerOwned"
	// NamespaceExcluded: the configuration excludes the namespace.
	NamespaceExcluded Reason = "NamespaceExcluded"
)

// Reasons that concern one rule.
const (
	// Injected: the rule gets authorizers.
	Injected Reason = "Injected"
	// AuthorizerFrontend: the rule exposes the Service of an authorizer itself,
	// so asking that authorizer would loop. Nothing is denied on it either.
	AuthorizerFrontend Reason = "AuthorizerFrontend"
	// NotRequested: nobody asked, or the nearest voice said no.
	NotRequested Reason = "NotRequested"
	// AlreadyProtected: the rule has authorizers or a jwt that stays.
	AlreadyProtected Reason = "AlreadyProtected"
	// LeftOpen: the rule says "noAuth: true", which nobody allowed to replace.
	LeftOpen Reason = "LeftOpen"
	// MalformedRule: the CRD will refuse the rule as it is.
	MalformedRule Reason = "MalformedRule"
	// AnnotationInvalid: what was asked for cannot be read.
	AnnotationInvalid Reason = "AnnotationInvalid"
)

// Outcome says what became of one rule.
type Outcome struct {
	// Rule is the index of the rule.
	Rule   int
	Reason Reason
	// From names what decided, as in [annotation.Provenance]; "" if nothing did.
	From string
	// Foreign is true if what decided is in another namespace than the APIRule.
	Foreign bool
}

// Injection is what injection does to one APIRule.
type Injection struct {
	// Skipped is the reason why the whole APIRule is left alone; "" if it is
	// not, and then Outcomes has one entry for each rule.
	Skipped  Reason
	Edits    apirule.Edits
	Outcomes []Outcome
	// Findings are annotations that cannot be read: injecting something else
	// than their author meant would be worse than refusing.
	Findings []Finding
}

// Inject decides which rules get which authorizers:
//
//	the rule has                  | without replace      | with the matching replace
//	------------------------------+----------------------+---------------------------
//	no strategy, "noAuth: false"  | add authorizers      | add authorizers
//	extAuth without authorizers   | fill them in         | fill them in
//	extAuth with authorizers      | leave                | leave
//	"noAuth: true"                | leave (RuleLeftOpen) | remove noAuth, add extAuth
//	jwt                           | leave                | jwt becomes extAuth.restrictions
//
// Only open rules are injected by default, because the CRD refuses an open rule
// if this project does not run, instead of exposing it. Injecting into what
// Inject made changes nothing.
func Inject(view apirule.View, facts Facts, settings Settings) Injection {
	if reason := skip(view, settings); reason != "" {
		return Injection{Skipped: reason}
	}
	all := newLevels(view, facts)
	injection := Injection{
		Outcomes: make([]Outcome, 0, len(view.Rules)),
		Findings: append(checkLimits(view), all.faults(view, facts.Registry)...),
	}
	for _, rule := range view.Rules {
		outcome, authorizers := injectRule(view, rule, &all, facts, settings)
		injection.Outcomes = append(injection.Outcomes, outcome)
		if outcome.Reason != Injected {
			continue
		}
		if injection.Edits.Rules == nil {
			injection.Edits.Rules = make([]apirule.Edit, 0, len(view.Rules))
		}
		injection.Edits.Rules = append(injection.Edits.Rules, apirule.Edit{Rule: rule.Index, Replaces: rule.Strategy, Authorizers: authorizers})
	}
	injection.Edits.Provenance = provenance(view, injection)
	return injection
}

// WithoutForeign returns the injection without what an object in another namespace
// than the APIRule decided: that may refuse a write of the APIRule, but not make
// one. The receiver is not changed.
func (i Injection) WithoutForeign(view apirule.View) Injection {
	own := i
	own.Edits.Rules = slices.DeleteFunc(slices.Clone(i.Edits.Rules), func(one apirule.Edit) bool { return i.Outcomes[one.Rule].Foreign })
	own.Edits.Provenance = provenance(view, own)
	return own
}

// skip tells why an APIRule is left alone as a whole, or "".
func skip(view apirule.View, settings Settings) Reason {
	switch {
	case view.Deleting:
		return Deleting
	case view.Legacy():
		return LegacyObject
	case view.Controller != nil && !ownedByUs(*view.Controller):
		return ControllerOwned
	case settings.ExcludedNamespaces[view.Namespace]:
		return NamespaceExcluded
	}
	return ""
}

// ownedByUs is true for the APIRules that this project makes for Services; no
// other controller makes a Service the owner of an APIRule.
func ownedByUs(owner apirule.Owner) bool {
	return owner.APIVersion == "v1" && owner.Kind == "Service"
}

// injectRule tells what becomes of a rule, and which authorizers it gets if that
// is [Injected].
func injectRule(view apirule.View, rule apirule.Rule, all *levels, facts Facts, settings Settings) (Outcome, []string) {
	if facts.Registry.Behind(rule.Service) != "" {
		return Outcome{Rule: rule.Index, Reason: AuthorizerFrontend}, nil
	}
	want, readable := all.intentOf(view, rule, settings)
	if !readable {
		return Outcome{Rule: rule.Index, Reason: AnnotationInvalid}, nil
	}
	return Outcome{Rule: rule.Index, Reason: reasonFor(rule, want), From: want.from, Foreign: want.foreign}, want.authorizers
}

// reasonFor is the table of [Inject].
func reasonFor(rule apirule.Rule, want intent) Reason {
	if rule.Strategy == apirule.Malformed {
		return MalformedRule
	}
	if !want.asked() {
		return NotRequested
	}
	switch rule.Strategy {
	case apirule.NoAuth:
		if !want.replace.NoAuth {
			return LeftOpen
		}
	case apirule.JWT:
		if !want.replace.JWT {
			return AlreadyProtected
		}
	case apirule.ExtAuth:
		if len(rule.Authorizers) > 0 {
			return AlreadyProtected
		}
	case apirule.Open, apirule.Malformed:
	}
	return Injected
}

// provenance returns the new value of the annotation that records injections,
// or nil if it stays. Records of earlier injections stay as long as their rule
// still has those authorizers, so that a later injection into another rule does
// not forget them.
func provenance(view apirule.View, injection Injection) *string {
	before, present := view.Annotations[annotation.Injected]
	var records []annotation.Provenance
	if edits := injection.Edits.Rules; len(edits) > 0 {
		records = make([]annotation.Provenance, 0, len(edits))
		for _, edit := range edits {
			records = append(records, annotation.Provenance{Rule: edit.Rule, Authorizers: edit.Authorizers, From: injection.Outcomes[edit.Rule].From})
		}
	}
	for _, record := range annotation.ParseProvenance(before) {
		if recordHolds(view, record) {
			records = append(records, record)
		}
	}
	slices.SortStableFunc(records, func(a, b annotation.Provenance) int { return a.Rule - b.Rule })
	records = slices.CompactFunc(records, func(a, b annotation.Provenance) bool { return a.Rule == b.Rule })
	after := ""
	if len(records) > 0 {
		after = annotation.FormatProvenance(records)
	}
	if after == before && present == (after != "") {
		return nil
	}
	return &after
}

func recordHolds(view apirule.View, record annotation.Provenance) bool {
	if record.Rule < 0 || record.Rule >= len(view.Rules) {
		return false
	}
	rule := view.Rules[record.Rule]
	return len(rule.Authorizers) > 0 && slices.Equal(rule.Authorizers, record.Authorizers)
}
