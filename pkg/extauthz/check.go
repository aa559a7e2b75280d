// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Header is one header line of a check; names are lower case, as Envoy has them.
type Header struct{ Name, Value string }

// Check is the request an authorizer is asked with. It has no body.
type Check struct {
	// Method is the client's.
	Method string
	// Authority is the client's, not the authorizer's: the Host header.
	Authority string
	// Path is the request target, byte for byte.
	Path string
	// Headers are sorted by name and do not include Host. Content-Length is
	// always there and 0.
	Headers []Header
}

// neverIncluded names headers no include list brings into a check: the filter
// sets content-length itself and keeps its own header to itself, the rest belong
// to the client's connection and do not outlive it.
func neverIncluded(name string) bool {
	switch name {
	case "content-length", "x-envoy-auth-partial-body", "host",
		"connection", "keep-alive", "proxy-connection",
		"te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// NewCheck builds the request Envoy would ask the authorizer with. Beside the
// include list Envoy always sends Host, method, path, Content-Length and
// Authorization (Envoy, ext_authz.proto, AuthorizationRequest.allowed_headers),
// so a list without authorization does not keep tokens from the authorizer.
func NewCheck(a Authorizer, r Request) (Check, error) {
	if err := a.validate(); err != nil {
		return Check{}, fmt.Errorf("authorizer: %w", err)
	}
	if err := r.validate(); err != nil {
		return Check{}, fmt.Errorf("request: %w", err)
	}
	headers := included(a, r)
	for _, name := range slices.Sorted(maps.Keys(a.AddHeaders)) {
		value, err := expand(a.AddHeaders[name], r)
		if err != nil {
			return Check{}, fmt.Errorf("authorizer: header %s: %w", name, err)
		}
		lower := strings.ToLower(name)
		if !httpguts.ValidHeaderFieldName(lower) || !httpguts.ValidHeaderFieldValue(value) || neverIncluded(lower) {
			return Check{}, fmt.Errorf("authorizer: header %q cannot be added to a check", name)
		}
		// Envoy adds no empty header, and one that is empty replaces none.
		if value != "" {
			headers[lower] = value
		}
	}
	headers["content-length"] = "0"
	check := Check{Method: r.method(), Authority: r.Authority, Path: a.PathPrefix + r.Path}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		check.Headers = append(check.Headers, Header{name, headers[name]})
	}
	return check, nil
}

// included selects the client's headers; several of one name are joined by a
// comma (Envoy, check_request_utils.cc).
func included(a Authorizer, r Request) map[string]string {
	headers := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(r.Header)) {
		name := strings.ToLower(key)
		if neverIncluded(name) || (name != "authorization" && !matchesAny(a.IncludeHeaders, name)) {
			continue
		}
		for _, value := range r.Header[key] {
			if before, found := headers[name]; found {
				value = before + "," + value
			}
			headers[name] = value
		}
	}
	return headers
}

// validate refuses what cannot be a request on the wire, so that nothing in a
// request can add a header or a second request to the check.
func (r Request) validate() error {
	var errs []error
	if !httpguts.ValidHeaderFieldName(r.method()) {
		errs = append(errs, fmt.Errorf("method %q is not a token", r.Method))
	}
	if r.Authority == "" || !httpguts.ValidHostHeader(r.Authority) {
		errs = append(errs, fmt.Errorf("authority %q is not a host name", r.Authority))
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsFunc(r.Path, notInTarget) {
		errs = append(errs, fmt.Errorf("path %q does not start with a slash or has a blank, a control character or a fragment", r.Path))
	}
	for name, values := range r.Header {
		invalid := func(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }
		// The value stays out of the error, it may be a token.
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, invalid) {
			errs = append(errs, fmt.Errorf("header %q has a name or a value that HTTP does not allow", name))
		}
	}
	return errors.Join(errs...)
}

func notInTarget(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }

// WriteTo writes the check as an HTTP/1.1 request. net/http would clean the
// target, leave Content-Length out of a GET and add headers of its own, and the
// point here is to send what Envoy sends.
func (c Check) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.Method, c.Path, c.Authority)
	for _, h := range c.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	b.WriteString("\r\n")
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}
