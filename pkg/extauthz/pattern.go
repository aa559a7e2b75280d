// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"fmt"
	"strings"
)

// checkPattern refuses a header pattern istiod refuses: it knows an exact name,
// a prefix with one star at its end, and a suffix with one star at its start.
func checkPattern(pattern string) error {
	name := strings.TrimPrefix(pattern, "*")
	if name == pattern {
		name = strings.TrimSuffix(pattern, "*")
	}
	if name == "" && pattern != "*" {
		return fmt.Errorf("header pattern %q is empty", pattern)
	}
	if strings.Contains(name, "*") {
		return fmt.Errorf("header pattern %q: a star is allowed once, at the start or at the end", pattern)
	}
	return nil
}

// matchesAny says whether a header name matches one of the patterns, ignoring
// case (istiod, extauthz.go, generateHeaders). A lone star matches everything.
func matchesAny(patterns []string, name string) bool {
	name = strings.ToLower(name)
	for _, pattern := range patterns {
		if matches(strings.ToLower(pattern), name) {
			return true
		}
	}
	return false
}

func matches(pattern, name string) bool {
	if suffix, found := strings.CutPrefix(pattern, "*"); found {
		return strings.HasSuffix(name, suffix)
	}
	if prefix, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
