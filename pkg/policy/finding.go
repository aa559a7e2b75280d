// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy decides: from values, to values. It says which rules of an
// APIRule get authorizers (Inject) and what is wrong with an APIRule or an
// Istio CR (Check, CheckIstio).
//
// It has no client, clock, logger or context, it does not know which front end
// asks, and it is the only place where a sentence about a finding is made.
package policy

import (
	"fmt"
	"sort"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// Code identifies a kind of finding. Codes are API: they appear in messages,
// metrics, audit annotations, lint output and documentation, and are never
// renamed.
type Code string

// The codes, in the order of the reference page.
const (
	InvalidAnnotation        Code = "InvalidAnnotation"
	AuthorizerNotRegistered  Code = "AuthorizerNotRegistered"
	AuthorizerConflict       Code = "AuthorizerConflict"
	InjectionMissing         Code = "InjectionMissing"
	LimitExceeded            Code = "LimitExceeded"
	PolicyViolation          Code = "PolicyViolation"
	OptOutForbidden          Code = "OptOutForbidden"
	InternalCallersForbidden Code = "InternalCallersForbidden"
	ForeignServiceOpen       Code = "ForeignServiceOpen"
	AuthorizerInUse          Code = "AuthorizerInUse"
	AuthorizerDuplicate      Code = "AuthorizerDuplicate"
	AuthorizerInvalid        Code = "AuthorizerInvalid"
	AuthorizerWidened        Code = "AuthorizerWidened"
	AuthorizerOpenPaths      Code = "AuthorizerOpenPaths"
	AuthorizerUnfit          Code = "AuthorizerUnfit"
	IdentityHeaderSpoofable  Code = "IdentityHeaderSpoofable"
	AuthorizerNotEffective   Code = "AuthorizerNotEffective"
	AuthorizerUnready        Code = "AuthorizerUnready"
	AuthorizerVulnerable     Code = "AuthorizerVulnerable"
	RuleLeftOpen             Code = "RuleLeftOpen"
	RuleShadowed             Code = "RuleShadowed"
	ServiceNotFound          Code = "ServiceNotFound"
	ServiceWithoutSelector   Code = "ServiceWithoutSelector"
	SidecarMissing           Code = "SidecarMissing"
	ProtectionWidened        Code = "ProtectionWidened"
	HostTaken                Code = "HostTaken"
	InternalTrafficBlocked   Code = "InternalTrafficBlocked"
	LegacyVersion            Code = "LegacyVersion"
	RegistryUnknown          Code = "RegistryUnknown"
)

// Severity is how serious a finding is. What follows from it is up to the front
// end.
type Severity string

// The severities, from none to all consequences.
const (
	// Report: only reports show it.
	Report Severity = "report"
	// Warn: the author is told.
	Warn Severity = "warn"
	// Deny: the object should not be admitted.
	Deny Severity = "deny"
)

// Finding is one thing that is wrong with one object.
type Finding struct {
	Code     Code
	Severity Severity
	// Err has the path, the value and the sentence.
	Err *field.Error
	// Brief says the same in few words; see [Finding.Warning].
	Brief string
	// Effect says in a few words what becomes of requests, where Brief does not; for
	// warnings only, because a verdict says it as well.
	Effect string
	// Subject is what the finding is about, apart from its place: the same
	// subject under the same code is the same fault, wherever it moved.
	Subject string
	// Opens is what the rule opens, where the finding is about an open rule; nil
	// elsewhere. Another rule that opens no more is no other fault, see [Ratchet].
	Opens *Opening
	// Foreign are the objects of other namespaces that the sentence names, each as it
	// stands there: "APIRule shop/cart". See [Finding.Unnamed].
	Foreign []string
	// Once is true for what is worth saying only when it becomes true.
	Once bool
}

// maxWarning is the length in characters up to which the API server's
// documentation wants a warning to be.
const maxWarning = 120

// Warning renders the finding as an admission warning of at most 120
// characters: code, path, what is wrong and what follows in few words. What is wrong is
// cut first.
func (f Finding) Warning() string {
	effect := f.Effect
	if effect != "" {
		effect = "; " + effect
	}
	text := fmt.Sprintf("%s: %s: %s", f.Code, f.Err.Field, f.Brief)
	if left := maxWarning - utf8.RuneCountInString(effect); utf8.RuneCountInString(text) > left {
		text = string([]rune(text)[:left-1]) + "…"
	}
	return text + effect
}

// Retryable is true if the finding says something about us and not about the
// object: the same request may be admitted later.
func (f Finding) Retryable() bool {
	return f.Code == RegistryUnknown
}

// OfChange is true if the finding is about a change, and is no fault of an APIRule that
// is stored already: the first rule of a workload shuts callers out.
func (f Finding) OfChange() bool {
	return f.Code == InternalTrafficBlocked
}

// Denies is true if one of findings has the severity [Deny].
func Denies(findings []Finding) bool {
	for _, finding := range findings {
		if finding.Severity == Deny {
			return true
		}
	}
	return false
}

// Codes returns the distinct codes of findings, sorted.
func Codes(findings []Finding) []string {
	seen := map[Code]bool{}
	var codes []string
	for _, finding := range findings {
		if !seen[finding.Code] {
			seen[finding.Code] = true
			codes = append(codes, string(finding.Code))
		}
	}
	sort.Strings(codes)
	return codes
}

// demoted returns the finding as a warning if it was a denial.
func (f Finding) demoted() Finding {
	if f.Severity == Deny {
		f.Severity = Warn
	}
	return f
}

// soThat returns the finding with what becomes of requests.
func (f Finding) soThat(effect string) Finding {
	f.Effect = effect
	return f
}

func newFinding(code Code, severity Severity, path *field.Path, value, sentence, brief string) Finding {
	return Finding{
		Code:     code,
		Severity: severity,
		Err:      field.Invalid(path, bound.Text(value), fmt.Sprintf("%s [%s]", sentence, code)),
		Brief:    brief,
		Subject:  value,
	}
}
