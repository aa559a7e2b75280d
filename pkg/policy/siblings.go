// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// siblings is what a check of one rule has to know about the other rules of its
// APIRule, worked out once: the schema sets no limit to the number of rules, and
// comparing each with each would let one APIRule keep admission busy.
type siblings struct {
	// uses are the authorizers at each Service, in the order of their first
	// rules; mixed is true if there is more than one authorizer among them.
	uses  uses
	mixed bool
	// served are the Services of all rules that the CRD may accept, in the same order.
	served uses
	// open has the rules without protection by path, those of one path in their
	// order.
	open map[string][]*apirule.Rule
	// patterns are the paths in open that match more than themselves, in the
	// order of their first rules, split into segments.
	patterns []pattern
}

type pattern struct {
	path     string
	segments []string
}

// maxPatterns is how many different paths with operators are looked at for each
// rule. Who has more is not told of every rule that is shadowed.
const maxPatterns = 256

func newSiblings(rules []apirule.Rule, services map[types.NamespacedName]Service) *siblings {
	s := &siblings{uses: uses{services: services}, served: uses{services: services}}
	for i := range rules {
		rule := &rules[i]
		for _, name := range rule.Authorizers {
			s.uses.add(rule, name)
			s.mixed = s.mixed || len(s.uses.list) > 0 && name != s.uses.list[0].authorizer
		}
		if rule.Unprotected() {
			s.addOpen(rule)
		}
		if rule.Strategy != apirule.Malformed {
			s.served.add(rule, "")
		}
	}
	return s
}

// addOpen leaves out a rule that an earlier one of the same path makes
// superfluous, so that a path has as few rules as there are sets of methods.
func (s *siblings) addOpen(rule *apirule.Rule) {
	if s.open == nil {
		s.open = map[string][]*apirule.Rule{}
	}
	same := s.open[rule.Path]
	for _, earlier := range same {
		if containsAll(earlier.Methods, rule.Methods) {
			return
		}
	}
	if len(same) == 0 && (rule.Path == "/*" || strings.Contains(rule.Path, "{")) && len(s.patterns) < maxPatterns {
		s.patterns = append(s.patterns, pattern{rule.Path, segments(rule.Path)})
	}
	s.open[rule.Path] = append(same, rule)
}

// shadow returns the first open rule before a rule that takes all its requests.
func (s *siblings) shadow(rule apirule.Rule) (apirule.Rule, bool) {
	found, ok := s.shadowAt(rule.Path, rule)
	if len(s.patterns) == 0 {
		return found, ok
	}
	inner := segments(rule.Path)
	for _, one := range s.patterns {
		if !coversSegments(one.segments, inner) {
			continue
		}
		if other, shadows := s.shadowAt(one.path, rule); shadows && (!ok || other.Index < found.Index) {
			found, ok = other, true
		}
	}
	return found, ok
}

func (s *siblings) shadowAt(path string, rule apirule.Rule) (apirule.Rule, bool) {
	for _, open := range s.open[path] {
		if open.Index < rule.Index && containsAll(open.Methods, rule.Methods) {
			return *open, true
		}
	}
	return apirule.Rule{}, false
}
