// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
)

// checkShadowed reports a protected rule that no request reaches, because an
// earlier rule without authorization takes all of them: the first match wins.
func checkShadowed(s subject) []Finding {
	if !s.rule.Protected() {
		return nil
	}
	earlier, shadowed := s.siblings.shadow(s.rule)
	if !shadowed {
		return nil
	}
	return []Finding{newFinding(RuleShadowed, Warn, s.rule.Field().Child("path"), s.rule.Path,
		fmt.Sprintf("%s has no authorization and matches every request of this rule first, so this rule protects nothing; move this rule before it, or narrow the path %q",
			earlier.Field(), earlier.Path),
		fmt.Sprintf("%s is open and matches first", earlier.Field())).soThat("this rule protects nothing")}
}

func containsAll(set, subset []string) bool {
	for _, one := range subset {
		if !slices.Contains(set, one) {
			return false
		}
	}
	return len(subset) > 0
}

// covers is true if every request path that the path inner of a rule matches is
// also matched by outer. Kyma's operators stand for whole segments (Kyma
// api-gateway, docs/user/expose-workloads/significance-of-rule-path-and-method-order.md):
//
//	{*}   exactly one segment that is not empty
//	{**}  any number of segments; last in the path or refused by the controller
//	/*    the whole path, on its own only; the same as /{**}
//
// Where it cannot be sure it says no.
func covers(outer, inner string) bool {
	return coversSegments(segments(outer), segments(inner))
}

// segments splits the path of a rule; "/*" becomes what it means.
func segments(path string) []string {
	if path == "/*" {
		path = "/{**}"
	}
	return strings.Split(path, "/")
}

func coversSegments(want, got []string) bool {
	if len(want) == 2 && want[0] == "" && want[1] == "{**}" {
		return true
	}
	for i, segment := range want {
		if i >= len(got) {
			return false
		}
		switch {
		case segment == "{**}":
			return i == len(want)-1
		case segment == "{*}":
			if got[i] == "" || got[i] == "{**}" {
				return false
			}
		case segment != got[i]:
			return false
		}
	}
	return len(want) == len(got)
}
