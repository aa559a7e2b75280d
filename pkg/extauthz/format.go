// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"fmt"
	"strconv"
	"strings"
)

// expand fills an added header's value in for a request. It knows %% and the
// one command this project has a use for, %REQ(NAME?ALTERNATIVE):LENGTH%; any
// other is an error, since a guess would not be what Envoy sends. A header the
// request lacks expands to nothing. As in Envoy, commands see the client's
// request, not the check request: neither IncludeHeaders nor PathPrefix shows
// (Envoy, header_parser.h and ext_authz_http_impl.cc).
func expand(format string, r Request) (string, error) {
	var b strings.Builder
	for rest := format; rest != ""; {
		literal, after, found := strings.Cut(rest, "%")
		b.WriteString(literal)
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			b.WriteByte('%')
			rest = after[1:]
			continue
		}
		command, next, closed := strings.Cut(after, "%")
		if !closed {
			return "", fmt.Errorf("expanding %q: a %% without its partner; write %%%% for a percent sign", format)
		}
		value, err := expandCommand(command, r)
		if err != nil {
			return "", fmt.Errorf("expanding %q: %w", format, err)
		}
		b.WriteString(value)
		rest = next
	}
	return b.String(), nil
}

// expandCommand expands what stands between two percent signs.
func expandCommand(command string, r Request) (string, error) {
	inner, found := strings.CutPrefix(command, "REQ(")
	names, tail, closed := strings.Cut(inner, ")")
	if !found || !closed {
		return "", fmt.Errorf("%%%s%% is not understood here; only %%REQ(NAME?ALTERNATIVE):LENGTH%% is", command)
	}
	limit := -1
	if tail != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(tail, ":"), 10, 16)
		if err != nil || !strings.HasPrefix(tail, ":") {
			return "", fmt.Errorf("%%%s%%: after the parenthesis only :LENGTH may follow", command)
		}
		limit = int(n)
	}
	name, alternative, _ := strings.Cut(names, "?")
	if name == "" || strings.Contains(alternative, "?") {
		return "", fmt.Errorf("%%%s%%: give one header name and at most one alternative", command)
	}
	value, present := r.lookup(name)
	if !present && alternative != "" {
		value, _ = r.lookup(alternative)
	}
	if limit >= 0 && len(value) > limit {
		value = value[:limit]
	}
	return value, nil
}

// lookup finds a header or pseudo-header of the request by its name in any case.
func (r Request) lookup(name string) (string, bool) {
	switch strings.ToLower(name) {
	case ":method":
		return r.method(), true
	case ":path":
		return r.Path, r.Path != ""
	case ":authority", "host":
		return r.Authority, r.Authority != ""
	case ":scheme":
		if r.Scheme == "" {
			return "https", true
		}
		return r.Scheme, true
	}
	for key, values := range r.Header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0], true
		}
	}
	return "", false
}

func (r Request) method() string {
	if r.Method == "" {
		return "GET"
	}
	return r.Method
}
