// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeoauth2proxy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// jwtShape is oauth2-proxy's own (7.15, pkg/middleware/jwt_session.go).
var jwtShape = regexp.MustCompile(`^ey[a-zA-Z0-9_-]*\.ey[a-zA-Z0-9_-]*\.[a-zA-Z0-9_-]+$`)

// authenticated says whether the request carries a token that makes a session.
func (p *Proxy) authenticated(r *http.Request) bool {
	if !p.options.SkipJWTBearerTokens {
		return false
	}
	token, err := findToken(r.Header.Get("Authorization"))
	if err != nil {
		return false
	}
	verified, err := p.verifier.Verify(r.Context(), token)
	if err != nil {
		return false
	}
	var claims struct {
		EmailVerified json.RawMessage `json:"email_verified"`
	}
	if err := verified.Claims(&claims); err != nil {
		return false
	}
	return emailAccepted(claims.EmailVerified)
}

// emailAccepted is false for an email_verified that is there and not true, even
// without an email.
func emailAccepted(verified json.RawMessage) bool {
	if len(verified) == 0 || string(verified) == "null" {
		return true
	}
	value, err := strconv.ParseBool(strings.Trim(string(verified), `"`))
	return err == nil && value
}

// findToken takes a JWT out of an Authorization header. Schemes are compared
// with their case.
func findToken(header string) (string, error) {
	parts := strings.Split(header, " ")
	if len(parts) != 2 {
		return "", errors.New("not a scheme and a token")
	}
	switch {
	case parts[0] == "Bearer" && jwtShape.MatchString(parts[1]):
		return parts[1], nil
	case parts[0] == "Basic":
		return findBasicToken(parts[1])
	}
	return "", errors.New("no bearer token")
}

func findBasicToken(value string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", fmt.Errorf("decoding basic authentication: %w", err)
	}
	user, password, _ := strings.Cut(string(raw), ":")
	if jwtShape.MatchString(user) {
		if password == "" || password == "x-oauth-basic" {
			return user, nil
		}
	} else if jwtShape.MatchString(password) {
		return password, nil
	}
	return "", errors.New("no token in basic authentication")
}
