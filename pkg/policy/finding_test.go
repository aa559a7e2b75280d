// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// found makes a finding as Check would.
func found(code policy.Code, severity policy.Severity, subject string) policy.Finding {
	return policy.Finding{Code: code, Severity: severity, Subject: subject, Err: field.Invalid(field.NewPath("spec"), subject, "wrong"), Brief: "wrong"}
}

func once(finding policy.Finding) policy.Finding {
	finding.Once = true
	return finding
}

// An update is refused for what it breaks and never for what it inherits.
func TestRatchet(t *testing.T) {
	const lost, missing = policy.AuthorizerNotRegistered, policy.InjectionMissing
	cases := map[string]struct {
		before, after, want []policy.Finding
	}{
		"nothing before and nothing after": {},
		"what is new denies":               {nil, []policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(lost, policy.Deny, "a")}},
		"what was repaired is gone":        {[]policy.Finding{found(lost, policy.Deny, "a")}, nil, nil},
		"what was wrong before is a warning": {
			[]policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(lost, policy.Warn, "a")},
		},
		"another value is new": {
			[]policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(lost, policy.Deny, "b")}, []policy.Finding{found(lost, policy.Deny, "b")},
		},
		"another code is new": {
			[]policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(missing, policy.Deny, "a")}, []policy.Finding{found(missing, policy.Deny, "a")},
		},
		"the same fault in a second rule is new": {
			[]policy.Finding{found(lost, policy.Deny, "a")},
			[]policy.Finding{found(lost, policy.Deny, "a"), found(lost, policy.Deny, "a")},
			[]policy.Finding{found(lost, policy.Warn, "a"), found(lost, policy.Deny, "a")},
		},
		"the order of faults does not matter": {
			[]policy.Finding{found(lost, policy.Deny, "a"), found(lost, policy.Deny, "b")},
			[]policy.Finding{found(lost, policy.Deny, "b"), found(lost, policy.Deny, "a")},
			[]policy.Finding{found(lost, policy.Warn, "b"), found(lost, policy.Warn, "a")},
		},
		"a fault that was only a warning before is one still": {
			[]policy.Finding{found(lost, policy.Warn, "a")}, []policy.Finding{found(lost, policy.Deny, "a")}, []policy.Finding{found(lost, policy.Warn, "a")},
		},
		"warnings and reports stay what they are": {
			[]policy.Finding{found(lost, policy.Warn, "a"), found(missing, policy.Report, "a")},
			[]policy.Finding{found(lost, policy.Warn, "a"), found(missing, policy.Report, "a")},
			[]policy.Finding{found(lost, policy.Warn, "a"), found(missing, policy.Report, "a")},
		},
		"what is worth saying once is not said again": {
			[]policy.Finding{once(found(lost, policy.Warn, "a"))},
			[]policy.Finding{once(found(lost, policy.Warn, "a")), once(found(lost, policy.Warn, "b"))},
			[]policy.Finding{once(found(lost, policy.Warn, "b"))},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			compare := cmp.Comparer(func(a, b policy.Finding) bool {
				return a.Code == b.Code && a.Severity == b.Severity && a.Subject == b.Subject && a.Once == b.Once
			})
			before, after := append([]policy.Finding(nil), tc.before...), append([]policy.Finding(nil), tc.after...)
			assert.Empty(t, cmp.Diff(tc.want, policy.Ratchet(tc.before, tc.after), compare))
			assert.Empty(t, cmp.Diff(before, tc.before, compare), "the lists are only read")
			assert.Empty(t, cmp.Diff(after, tc.after, compare), "the lists are only read")
		})
	}
}

// Where a fault is does not make it a new one.
func TestRatchetDoesNotLookAtThePlace(t *testing.T) {
	settings, facts := policy.DefaultSettings(), policy.Facts{Registry: registered("oauth2-proxy")}
	before := policy.Check(parse(t, `spec: {rules: [{path: /a, extAuth: {authorizers: [gone]}}, {path: /b, jwt: {}}]}`), facts, settings)
	after := policy.Check(parse(t, `spec: {rules: [{path: /b, jwt: {}}, {path: /a, extAuth: {authorizers: [gone]}}]}`), facts, settings)
	assert.True(t, policy.Denies(after))
	assert.False(t, policy.Denies(policy.Ratchet(before, after)))
}

func TestWarningsAreShort(t *testing.T) {
	short := policy.Finding{Code: policy.RuleLeftOpen, Err: field.Invalid(field.NewPath("spec", "rules").Index(0), "", "a long story"), Brief: "stays open"}
	assert.Equal(t, "RuleLeftOpen: spec.rules[0]: stays open", short.Warning())

	exact := short
	exact.Brief = strings.Repeat("é", 120-len("RuleLeftOpen: spec.rules[0]: "))
	assert.Equal(t, 120, utf8.RuneCountInString(exact.Warning()))
	assert.NotContains(t, exact.Warning(), "…")

	long := exact
	long.Brief += "é"
	assert.Equal(t, 120, utf8.RuneCountInString(long.Warning()))
	assert.True(t, strings.HasSuffix(long.Warning(), "é…"))
}

// What follows stays readable: what is wrong is cut first.
func TestWarningsSayWhatFollows(t *testing.T) {
	one := policy.Finding{Code: policy.AuthorizerUnready, Err: field.Invalid(field.NewPath("spec"), "", ""), Brief: "its Service a/b does not exist", Effect: "every request gets 403"}
	assert.Equal(t, "AuthorizerUnready: spec: its Service a/b does not exist; every request gets 403", one.Warning())
	one.Brief = strings.Repeat("x", 200)
	assert.Equal(t, 120, utf8.RuneCountInString(one.Warning()))
	assert.True(t, strings.HasSuffix(one.Warning(), "x…; every request gets 403"))
}

func TestWarningsAreFew(t *testing.T) {
	of := func(codes ...policy.Code) []policy.Finding {
		var findings []policy.Finding
		for i, code := range codes {
			findings = append(findings, policy.Finding{Code: code, Err: field.Invalid(field.NewPath("spec", "rules").Index(i), "", ""), Brief: "is wrong"})
		}
		return findings
	}
	assert.Nil(t, policy.Warnings(nil))
	assert.Equal(t, []string{
		"SidecarMissing: spec.rules[2]: is wrong", "RuleLeftOpen: spec.rules[4]: is wrong",
		"AuthorizerUnready: spec.rules[1]: is wrong", "AuthorizerNotEffective: spec.rules[3]: is wrong",
		"InternalTrafficBlocked: spec.rules[0]: is wrong",
	}, policy.Warnings(of(policy.InternalTrafficBlocked, policy.AuthorizerUnready, policy.SidecarMissing, policy.AuthorizerNotEffective, policy.RuleLeftOpen)), "the worst first")
	six := of(policy.RuleLeftOpen, policy.RuleLeftOpen, policy.RuleLeftOpen, policy.RuleLeftOpen, policy.RuleLeftOpen, policy.RuleLeftOpen)
	assert.Len(t, policy.Warnings(six), 6, "one line more is no shorter than the sixth")
	eight := append(six, of(policy.InternalTrafficBlocked, policy.LegacyVersion)...)
	got := policy.Warnings(eight)
	assert.Len(t, got, 6)
	assert.Equal(t, "and 3 more warnings; kubectl extauth lint shows all of them", got[5])
	assert.Len(t, policy.Warnings(append(six[:1:1], six[0], six[0])), 1, "each is said once")
	assert.Equal(t, policy.RuleLeftOpen, eight[0].Code, "the findings keep their order")
}

func TestRulesThatNobodyAskedFor(t *testing.T) {
	const hint = `: no access strategy, so it is refused; to protect it annotate extauth-guard.io/inject: "true"`
	for name, tc := range map[string]struct{ metadata, rules, want string }{
		"an open rule":                  {"", "[{path: /a}]", "spec.rules[0]" + hint},
		"the first of several":          {"", "[{path: /a, noAuth: true}, {path: /b}, {path: /c}]", "spec.rules[1]" + hint},
		"noAuth: false is none":         {"", "[{path: /a, noAuth: false}]", "spec.rules[0]" + hint},
		"open on purpose":               {"", "[{path: /a, noAuth: true}]", ""},
		"protected":                     {"", "[{path: /a, jwt: {}}]", ""},
		"somebody asks":                 {`annotations: {extauth-guard.io/inject: "true"}`, "[{path: /a}]", ""},
		"somebody says no":              {`annotations: {extauth-guard.io/inject: "false"}`, "[{path: /a}]", ""},
		"an annotation nobody can read": {`annotations: {extauth-guard.io/inject: "yes"}`, "[{path: /a}]", ""},
		"it is going":                   {"deletionTimestamp: x", "[{path: /a}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			view := parse(t, "{metadata: {name: cart, "+tc.metadata+"}, spec: {service: {name: cart, port: 80}, rules: "+tc.rules+"}}")
			got := policy.Inject(view, policy.Facts{Registry: registered("oauth2-proxy")}, policy.DefaultSettings()).Unasked(view)
			assert.Equal(t, tc.want, got)
			assert.LessOrEqual(t, len(got), 120)
		})
	}
}

func TestWhatFollowsFromFindings(t *testing.T) {
	warn, deny := found(policy.RuleLeftOpen, policy.Warn, "a"), found(policy.InjectionMissing, policy.Deny, "a")
	assert.False(t, policy.Denies(nil))
	assert.False(t, policy.Denies([]policy.Finding{warn, found(policy.PolicyViolation, policy.Report, "a")}))
	assert.True(t, policy.Denies([]policy.Finding{warn, deny}))

	assert.Empty(t, policy.Codes(nil))
	assert.Equal(t, []string{"InjectionMissing", "RuleLeftOpen"}, policy.Codes([]policy.Finding{warn, deny, warn}))

	assert.True(t, found(policy.RegistryUnknown, policy.Deny, "a").Retryable())
	assert.False(t, deny.Retryable())
}
