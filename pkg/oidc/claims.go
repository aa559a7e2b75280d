// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Claims is what a token says about itself. Nothing of it is verified.
type Claims struct {
	// Algorithm and KeyID come from the token's header.
	Algorithm, KeyID string
	// Issuer, Subject, Email and Scope are empty where the token has none.
	Issuer, Subject, Email, Scope string
	// Audience has the one or the many that the token names.
	Audience []string
	// Expiry, NotBefore and IssuedAt are zero where the token has none.
	Expiry, NotBefore, IssuedAt time.Time
	// EmailVerified is nil where the token does not say.
	EmailVerified *bool

	raw map[string]json.RawMessage
}

// Texts returns the one or the many strings that a claim has, and whether the token
// has the claim at all.
func (c Claims) Texts(claim string) ([]string, bool) {
	raw, given := c.raw[claim]
	var values audience
	if !given || values.UnmarshalJSON(raw) != nil {
		return nil, given
	}
	return values, true
}

// DecodeClaims reads a token for display. It does not verify anything, and the
// token is not part of any error.
func DecodeClaims(token string) (Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, fmt.Errorf("decoding the token: %d parts instead of the three of a signed JWT (RFC 7515); is it an opaque token?", len(parts))
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	if err := decodePart(parts[0], &header); err != nil {
		return Claims{}, fmt.Errorf("decoding the token's header: %w", err)
	}
	var payload struct {
		Issuer        string      `json:"iss"`
		Subject       string      `json:"sub"`
		Email         looseText   `json:"email"`
		Audience      audience    `json:"aud"`
		Expiry        numericDate `json:"exp"`
		NotBefore     numericDate `json:"nbf"`
		IssuedAt      numericDate `json:"iat"`
		EmailVerified looseBool   `json:"email_verified"`
		Scope         scopes      `json:"scope"`
	}
	if err := decodePart(parts[1], &payload); err != nil {
		return Claims{}, fmt.Errorf("decoding the token's claims: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := decodePart(parts[1], &raw); err != nil {
		return Claims{}, fmt.Errorf("decoding the token's claims: %w", err)
	}
	return Claims{
		raw:           raw,
		Algorithm:     header.Algorithm,
		KeyID:         header.KeyID,
		Issuer:        payload.Issuer,
		Subject:       payload.Subject,
		Email:         string(payload.Email),
		Scope:         string(payload.Scope),
		Audience:      payload.Audience,
		Expiry:        time.Time(payload.Expiry),
		NotBefore:     time.Time(payload.NotBefore),
		IssuedAt:      time.Time(payload.IssuedAt),
		EmailVerified: payload.EmailVerified.value,
	}, nil
}

// decodePart decodes one part of a JWT, which must be a JSON object.
func decodePart(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return errors.New("not base64url without padding")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) && typed.Field != "" {
			return fmt.Errorf("claim %s is a JSON %s", typed.Field, typed.Value)
		}
		if claim, ok := errors.AsType[claimError](err); ok {
			return claim
		}
		return errors.New("not a JSON object")
	}
	return nil
}

// claimError is a claim of the wrong type, said in our words.
type claimError string

func (e claimError) Error() string { return string(e) }

// audience is a string or a list of strings (RFC 7519, section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		if string(b) == "null" {
			*a = nil
		}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return claimError("aud is neither a string nor a list of strings")
	}
	*a = many
	return nil
}

// scopes is a string, or the list of strings that some providers send.
type scopes string

func (s *scopes) UnmarshalJSON(b []byte) error {
	var many audience
	if err := many.UnmarshalJSON(b); err != nil {
		return claimError("scope is neither a string nor a list of strings")
	}
	*s = scopes(strings.Join(many, " "))
	return nil
}

// numericDate is seconds since the epoch, possibly with a fraction (RFC 7519,
// section 2). Fractions are cut off, as go-oidc does.
type numericDate time.Time

func (d *numericDate) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	// A year beyond 9999 has no RFC 3339 form and is no date anybody meant.
	const latest = 253402300799
	seconds, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > latest {
		return claimError("a time is not a number of seconds since 1970")
	}
	*d = numericDate(time.Unix(int64(seconds), 0).UTC())
	return nil
}

// looseText is a string; anything else is shown as it is, as oauth2-proxy does not
// mind (7.15, pkg/providers/util/claim_extractor.go).
type looseText string

func (t *looseText) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	*t = looseText(text)
	return nil
}

// looseBool is a boolean, or the same as a string as some providers send it.
type looseBool struct{ value *bool }

func (l *looseBool) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	v, err := strconv.ParseBool(strings.Trim(string(b), `"`))
	// oauth2-proxy reads whatever is no boolean as false (7.15, pkg/util).
	v = v && err == nil
	l.value = &v
	return nil
}
