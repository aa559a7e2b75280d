// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kinds of failure a caller may branch on with errors.Is.
var (
	// ErrUnreachable says that no answer came: DNS, connection, TLS, timeout.
	ErrUnreachable = errors.New("issuer unreachable")
	// ErrIssuerMismatch says that the discovery document names another issuer.
	ErrIssuerMismatch = errors.New("issuer mismatch")
	// ErrIssuerSlash says that the two issuers differ by a trailing slash only.
	// Such an error is an ErrIssuerMismatch as well.
	ErrIssuerSlash = errors.New("issuer differs by a trailing slash")
	// ErrNoClientCredentials says that the provider does not offer the grant.
	ErrNoClientCredentials = errors.New("no client_credentials grant")
	// ErrNoAuthMethod says that the token endpoint takes no shared secret.
	ErrNoAuthMethod = errors.New("no usable client authentication method")
)

// excerptLimit bounds what an error repeats of an answer, in bytes.
const excerptLimit = 256

// ResponseError is an answer that was not the wanted one.
type ResponseError struct {
	// Method and URL are the request's; the URL carries no credentials.
	Method, URL string
	// Status is the answer's HTTP status.
	Status int
	// Code and Description are the provider's `error` and `error_description`
	// (RFC 6749, section 5.2); both are empty if it sent none.
	Code, Description string
	// Excerpt is the start of the answer, printable and bounded, for answers
	// that carry no Code.
	Excerpt string
}

// Error names the request, the status and the provider's own words.
func (e *ResponseError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s answered %d", e.Method, e.URL, e.Status)
	switch {
	case e.Code != "" && e.Description != "":
		fmt.Fprintf(&b, ": %s: %s", e.Code, e.Description)
	case e.Code != "":
		fmt.Fprintf(&b, ": %s", e.Code)
	case e.Excerpt != "":
		fmt.Fprintf(&b, ": %q", e.Excerpt)
	default:
		b.WriteString(" with an empty body")
	}
	return b.String()
}

// newResponseError reads the provider's words from a body. Every secret given is
// replaced in them, because some providers repeat the request in their answer.
func newResponseError(method, url string, status int, body []byte, secrets ...Secret) *ResponseError {
	e := &ResponseError{Method: method, URL: url, Status: status}
	var words struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &words) == nil {
		e.Code, e.Description = words.Code, words.Description
	}
	e.Code = excerpt(e.Code, secrets...)
	e.Description = excerpt(e.Description, secrets...)
	if e.Code == "" {
		e.Excerpt = excerpt(string(body), secrets...)
	}
	return e
}

// excerpt makes foreign text fit for an error: no secrets, one line, bounded.
// Secrets go first, so that a cut cannot leave half of one behind.
func excerpt(text string, secrets ...Secret) string {
	for _, s := range secrets {
		text = s.Redact(text)
	}
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || (!unicode.IsPrint(r) && !unicode.IsSpace(r)) {
			return -1
		}
		return r
	}, text)), " ")
	if len(text) <= excerptLimit {
		return text
	}
	cut := excerptLimit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
