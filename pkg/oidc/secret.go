// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// redacted is what a Secret says about itself.
const redacted = "[redacted]"

// Secret is a value that must not be printed: a client secret or a token. It
// renders as "[redacted]" through fmt with every verb, encoding/json, text
// encoders and log/slog; only [Secret.Reveal] yields the value. The zero value
// is the empty secret.
type Secret struct{ value string }

// NewSecret wraps a value that must not be printed.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value. Its callers are the places to look at when asking
// where a secret can go.
func (s Secret) Reveal() string { return s.value }

// IsEmpty says whether there is no value.
func (s Secret) IsEmpty() bool { return s.value == "" }

// Equal compares without telling by its duration where two secrets differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(other.value)) == 1
}

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (s Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]", for YAML and other text encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]", for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Redact replaces the secret in text that came from somebody else, in the forms
// in which it may appear there: as it is, form-urlencoded, base64 encoded, and
// escaped for JSON or HTML.
// Secrets of fewer than four bytes are left alone, replacing them would only
// mangle the text and thereby tell what they are.
func (s Secret) Redact(text string) string {
	if len(s.value) < 4 {
		return text
	}
	forms := []string{
		s.value,
		url.QueryEscape(s.value),
		url.PathEscape(s.value),
		base64.StdEncoding.EncodeToString([]byte(s.value)),
		base64.RawStdEncoding.EncodeToString([]byte(s.value)),
		base64.RawURLEncoding.EncodeToString([]byte(s.value)),
		strings.Trim(strconv.Quote(s.value), `"`),
		html.EscapeString(s.value),
	}
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}
