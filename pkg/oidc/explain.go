// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ProblemCode identifies why oauth2-proxy refuses a token. Codes are stable.
type ProblemCode string

// The reasons, in the order in which they are reported.
const (
	// ProblemHeader: the Authorization header holds nothing oauth2-proxy reads.
	ProblemHeader ProblemCode = "Header"
	// ProblemNotJWT: the token is opaque or not a signed JWT.
	ProblemNotJWT ProblemCode = "NotJWT"
	// ProblemAlgorithm: the signature algorithm is none or a shared-key one.
	ProblemAlgorithm ProblemCode = "Algorithm"
	// ProblemIssuer: iss is not the issuer.
	ProblemIssuer ProblemCode = "Issuer"
	// ProblemAudience: aud does not contain the client ID.
	ProblemAudience ProblemCode = "Audience"
	// ProblemNoExpiry: there is no exp.
	ProblemNoExpiry ProblemCode = "NoExpiry"
	// ProblemExpired: exp has passed.
	ProblemExpired ProblemCode = "Expired"
	// ProblemNotYetValid: nbf lies ahead.
	ProblemNotYetValid ProblemCode = "NotYetValid"
	// ProblemEmailUnverified: email_verified is false.
	ProblemEmailUnverified ProblemCode = "EmailUnverified"
)

// Problem is one reason why oauth2-proxy will answer 401.
type Problem struct {
	// Code is for programs.
	Code ProblemCode
	// Message is for people: what is wrong and what to change.
	Message string
}

// Expectation is what oauth2-proxy was configured with.
type Expectation struct {
	// Issuer is its --oidc-issuer-url.
	Issuer string
	// ClientID is its --client-id.
	ClientID string
	// ExtraAudiences is its --oidc-extra-audience: further values that aud may have.
	ExtraAudiences []string
	// AudienceClaims is its --oidc-audience-claim: the claims that are read for the
	// audience, in the order of preference; empty is aud.
	AudienceClaims []string
	// UnverifiedEmails is its --insecure-oidc-allow-unverified-email.
	UnverifiedEmails bool
}

// notBeforeLeeway is how far ahead go-oidc, which oauth2-proxy verifies with,
// lets nbf lie.
const notBeforeLeeway = 5 * time.Minute

// jwtShape is what oauth2-proxy takes for a JWT before it looks any closer
// (oauth2-proxy 7.15, pkg/middleware/jwt_session.go).
var jwtShape = regexp.MustCompile(`^ey[a-zA-Z0-9_-]*\.ey[a-zA-Z0-9_-]*\.[a-zA-Z0-9_-]+$`)

// TokenFromHeader returns the token that oauth2-proxy with
// --skip-jwt-bearer-tokens takes from an Authorization header, or the problem
// that it has with the header. The scheme is case-sensitive there, although
// RFC 9110, section 11.1 says it is not. Basic carries a token as user name with
// an empty password or x-oauth-basic, or as password.
func TokenFromHeader(header string) (Secret, *Problem) {
	scheme, value, found := strings.Cut(header, " ")
	switch {
	case header == "":
		return Secret{}, &Problem{ProblemHeader, "no Authorization header; send \"Authorization: Bearer <token>\""}
	case !found || strings.Contains(value, " "):
		return Secret{}, &Problem{ProblemHeader, "the Authorization header is not a scheme, one space and a token"}
	case scheme == "Bearer" && jwtShape.MatchString(value):
		return NewSecret(value), nil
	case scheme == "Bearer":
		return Secret{}, &Problem{ProblemNotJWT, "the bearer token is not a JWT; have the provider issue JWT access tokens for this client"}
	case scheme == "Basic":
		return tokenFromBasic(value)
	case strings.EqualFold(scheme, "Bearer"):
		return Secret{}, &Problem{ProblemHeader, fmt.Sprintf("oauth2-proxy reads the scheme case-sensitively: write Bearer, not %q", scheme)}
	}
	return Secret{}, &Problem{ProblemHeader, "the scheme of the Authorization header is not Bearer"}
}

func tokenFromBasic(value string) (Secret, *Problem) {
	problem := &Problem{ProblemHeader, "Basic authentication without a JWT as user name (with an empty password) or as password"}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return Secret{}, problem
	}
	user, password, found := strings.Cut(string(raw), ":")
	switch {
	case !found:
		return Secret{}, problem
	case jwtShape.MatchString(user) && (password == "" || password == "x-oauth-basic"): //nolint:gosec // a fixed word of oauth2-proxy, no secret
		return NewSecret(user), nil
	case !jwtShape.MatchString(user) && jwtShape.MatchString(password):
		return NewSecret(password), nil
	}
	return Secret{}, problem
}

// Explain says why oauth2-proxy with --skip-jwt-bearer-tokens will refuse a
// token at a moment. No problem means that it accepts the token if the signature
// is the issuer's, which only [Verify] can tell. Scopes are never looked at.
func Explain(token Secret, want Expectation, now time.Time) []Problem {
	if !jwtShape.MatchString(token.Reveal()) {
		return []Problem{{ProblemNotJWT, "the token is not a JWT; have the provider issue JWT access tokens for this client"}}
	}
	c, err := DecodeClaims(token.Reveal())
	if err != nil {
		return []Problem{{ProblemNotJWT, err.Error()}}
	}
	var problems []Problem
	add := func(code ProblemCode, format string, args ...any) {
		problems = append(problems, Problem{code, fmt.Sprintf(format, args...)})
	}
	if c.Algorithm == "none" || strings.HasPrefix(c.Algorithm, "HS") {
		add(ProblemAlgorithm, "the token is signed with %q, which the provider's public keys cannot verify; use RS256", c.Algorithm)
	}
	if c.Issuer != want.Issuer {
		add(ProblemIssuer, "iss is %q, oauth2-proxy expects %q to the letter", c.Issuer, want.Issuer)
	}
	if problem := explainAudience(c, want); problem != "" {
		add(ProblemAudience, "%s", problem)
	}
	problems = append(problems, explainTimes(c, now)...)
	if c.EmailVerified != nil && !*c.EmailVerified && !want.UnverifiedEmails {
		add(ProblemEmailUnverified, "email_verified is false; verify the address at the provider, or configure --insecure-oidc-allow-unverified-email (now false)")
	}
	return problems
}

// explainAudience takes the first of the claims that the token has, as
// oauth2-proxy does (7.15, pkg/providers/oidc/provider_verifier.go).
func explainAudience(c Claims, want Expectation) string {
	claims := want.AudienceClaims
	if len(claims) == 0 {
		claims = []string{"aud"}
	}
	name, audience := claims[0], []string(nil)
	for _, claim := range slices.Backward(claims) {
		if values, given := c.Texts(claim); given {
			name, audience = claim, values
		}
	}
	accepted := append([]string{want.ClientID}, want.ExtraAudiences...)
	if slices.ContainsFunc(audience, func(each string) bool { return slices.Contains(accepted, each) }) {
		return ""
	}
	expected := fmt.Sprintf("its client ID %q", want.ClientID)
	if len(want.ExtraAudiences) > 0 {
		expected += fmt.Sprintf(" or one of --oidc-extra-audience %q", want.ExtraAudiences)
	}
	return fmt.Sprintf("%s is %s, oauth2-proxy expects it to contain %s; let the provider set the audience, or configure --oidc-extra-audience or --oidc-audience-claim",
		name, describeAudience(audience), expected)
}

func explainTimes(c Claims, now time.Time) []Problem {
	var problems []Problem
	switch {
	case c.Expiry.IsZero():
		problems = append(problems, Problem{ProblemNoExpiry, "there is no exp, and oauth2-proxy takes that for expired"})
	case c.Expiry.Before(now):
		problems = append(problems, Problem{ProblemExpired, fmt.Sprintf("expired at %s, %s ago; get a new token",
			c.Expiry.Format(time.RFC3339), now.Sub(c.Expiry).Round(time.Second))})
	}
	if c.NotBefore.After(now.Add(notBeforeLeeway)) {
		problems = append(problems, Problem{ProblemNotYetValid, fmt.Sprintf("not valid before %s; compare the clocks",
			c.NotBefore.Format(time.RFC3339))})
	}
	return problems
}

func describeAudience(audience []string) string {
	if len(audience) == 0 {
		return "missing"
	}
	return fmt.Sprintf("%q", audience)
}
