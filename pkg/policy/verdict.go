// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Verdict says what holds for whoever sends a request, whatever is declared. Verdicts
// are API, like codes.
type Verdict string

// The verdicts, the worst first. A host is as good as the worst of its rules.
const (
	// NotEnforced: the rule says that it is protected, and nobody will ask: there is
	// no sidecar and no selector, an open rule takes the requests, or another policy lets
	// some in unasked.
	NotEnforced Verdict = "NotEnforced"
	// Open: somebody without credentials gets in, because the rule says so.
	Open Verdict = "Open"
	// Unknown: it cannot be told, because facts are missing.
	Unknown Verdict = "Unknown"
	// Blocked: every request gets 403.
	Blocked Verdict = "Blocked"
	// Protected: an authorizer is asked about every request, or every request needs a
	// token of an accepted issuer.
	Protected Verdict = "Protected"
)

// Verdicts returns all verdicts, the worst first. The caller owns the slice.
func Verdicts() []Verdict {
	return []Verdict{NotEnforced, Open, Unknown, Blocked, Protected}
}

// Text says in half a sentence what the verdict means.
func (v Verdict) Text() string {
	switch v {
	case NotEnforced:
		return "declared as protected, but nobody asks"
	case Open:
		return "open to requests without credentials"
	case Unknown:
		return "cannot be told"
	case Blocked:
		return "every request gets 403"
	case Protected:
		return "every request is asked about"
	}
	return string(v)
}

// Compare returns a negative number if the verdict is worse than another one, 0 if it is
// the same, and a positive number if it is better. What is no verdict is the worst.
func (v Verdict) Compare(other Verdict) int {
	return slices.Index(Verdicts(), v) - slices.Index(Verdicts(), other)
}

// RuleVerdict is the verdict on one rule.
type RuleVerdict struct {
	Verdict Verdict
	// Why says in a few words what makes it so; "" for [Protected].
	Why string
	// Code is that of the finding that makes it so; "" if there is none.
	Code Code
}

// Fix says in a sentence what to do about the verdict; "" for [Protected].
func (v RuleVerdict) Fix() string {
	for _, reference := range References() {
		if v.Code == reference.Code {
			return reference.Fix
		}
	}
	switch v.Verdict {
	case Open:
		return fmt.Sprintf("Annotate it with %s: \"true\" and remove noAuth, or name an authorizer in extAuth.authorizers.", annotation.Inject)
	case Unknown:
		return "Give what is not known: the cluster with --live, or the missing manifests."
	default:
		return ""
	}
}

// Worst returns the first of the worst verdicts; [Unknown] if there is none, because an
// APIRule without rules that can be read says nothing.
func Worst(verdicts []RuleVerdict) RuleVerdict {
	if len(verdicts) == 0 {
		return RuleVerdict{Verdict: Unknown, Why: "no rule can be read"}
	}
	worst := verdicts[0]
	for _, one := range verdicts[1:] {
		if one.Verdict.Compare(worst.Verdict) < 0 {
			worst = one
		}
	}
	return worst
}

// verdict judges a rule by what its checks found, before anything of it is demoted.
//
// Whether anybody asks comes first; what the answer would be matters only then.
func (s subject) verdict(found []Finding) RuleVerdict {
	switch {
	case s.rule.Strategy == apirule.Malformed:
		return RuleVerdict{Verdict: Unknown, Why: "the access strategy cannot be read"}
	case s.rule.Unprotected():
		return RuleVerdict{Verdict: Open, Why: s.openBecause()}
	}
	for _, one := range found {
		if notEnforced(one.Code) {
			return RuleVerdict{NotEnforced, one.Brief, one.Code}
		}
	}
	if why := s.unknownSidecar(); why != "" {
		return RuleVerdict{Verdict: Unknown, Why: why}
	}
	if s.rule.Strategy == apirule.JWT {
		return s.ofTokens()
	}
	if why, code := s.blocked(found); why != "" {
		return RuleVerdict{Blocked, why, code}
	}
	if why := s.unknownAnswer(); why != "" {
		return RuleVerdict{Verdict: Unknown, Why: why}
	}
	return RuleVerdict{Verdict: Protected}
}

func (s subject) openBecause() string {
	if s.rule.Strategy == apirule.NoAuth {
		return `says "noAuth: true"`
	}
	return "has no access strategy"
}

// notEnforced is true for a finding that says that nobody asks.
func notEnforced(code Code) bool {
	return code == RuleShadowed || code == ServiceWithoutSelector || code == SidecarMissing || code == ProtectionWidened
}

// unknownSidecar says what has to be known before anybody can tell that a sidecar asks,
// or "".
func (s subject) unknownSidecar() string {
	_, exists := s.facts.Services[s.rule.Service]
	_, known := s.facts.Namespaces[s.rule.Service.Namespace]
	switch {
	case s.rule.Service.Name == "":
		return "no Service is named"
	case !exists && s.facts.Services != nil && !s.facts.Partial:
		return fmt.Sprintf("the Service %s does not exist", s.rule.Service)
	case !exists:
		return fmt.Sprintf("the Service %s is not known", s.rule.Service)
	case !known:
		return fmt.Sprintf("the labels of the namespace %s are not known", s.rule.Service.Namespace)
	}
	return ""
}

// ofTokens is the verdict on a jwt, whose issuer the APIRule chooses: where a policy says
// whose tokens count, a token of anybody else is no protection.
func (s subject) ofTokens() RuleVerdict {
	for _, one := range s.matching.of(s.rule) {
		if one.requirement != nil && len(one.requirement.issuers) > 0 && s.violates(one) {
			return RuleVerdict{Open, fmt.Sprintf("takes tokens of an issuer that the ExtAuthPolicy %s does not accept", one.Name), PolicyViolation}
		}
	}
	return RuleVerdict{Verdict: Protected}
}

// blocked says why every request gets 403, and which code says it; "" if nothing does.
func (s subject) blocked(found []Finding) (string, Code) {
	for _, one := range found {
		if s.blocks(one) {
			return one.Brief, one.Code
		}
	}
	if s.settings.SeveralAuthorizers || !s.siblings.mixed {
		return "", ""
	}
	// The check tells the later one of two rules only, but both are blocked.
	own := s.rule.Authorizers[0]
	if other, conflicts := s.siblings.uses.elsewhere(s.rule, func(one use) bool { return one.authorizer != own }); conflicts {
		return fmt.Sprintf("%q from %s acts on the same workload", other.authorizer, other.rule.Field()), AuthorizerConflict
	}
	return "", ""
}

func (s subject) blocks(finding Finding) bool {
	switch finding.Code {
	case AuthorizerNotRegistered, AuthorizerUnready:
		return true
	case AuthorizerConflict:
		return !s.settings.SeveralAuthorizers
	case AuthorizerInvalid:
		return finding.Severity == Deny
	case AuthorizerNotEffective:
		return slices.ContainsFunc(s.rule.Authorizers, func(name string) bool { return !s.facts.Registry.Effective(name) })
	default:
		return false
	}
}

// unknownAnswer says what has to be known before anybody can tell that the authorizers of
// the rule are asked and can answer, or "".
func (s subject) unknownAnswer() string {
	registry := s.facts.Registry
	if !registry.Known {
		return "the registered authorizers are not known: " + registry.reason()
	}
	for _, name := range s.rule.Authorizers {
		entry, _ := registry.Authorizer(name)
		_, inCluster := entry.Backend()
		_, looked := s.facts.Backends[name]
		switch {
		case registry.mesh == nil:
			return fmt.Sprintf("whether the mesh has %q is not known", name)
		case registry.Outdated(name):
			return fmt.Sprintf("the mesh still has an earlier version of %q", name)
		case inCluster && !looked:
			return fmt.Sprintf("whether %q can answer is not known", name)
		}
	}
	return ""
}
