// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"sort"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Opening is what an open rule lets in: its host, gateways, path, methods, Service,
// port, origins of browsers and issuers of tokens, less what the protected rules in
// front of it keep from it.
type Opening struct {
	view apirule.View
	rule apirule.Rule
}

// text is the same for two rules that open the same, but for what the APIRule has for
// all of its rules and for what is in front of them. It costs what the rule does:
// an author chooses how many rules there are, and what they share.
func (o Opening) text() string {
	methods := slices.Sorted(slices.Values(o.rule.Methods))
	return fmt.Sprintf("%q", []any{o.rule.Path, methods, o.rule.Service, o.rule.ServicePort, o.rule.Strategy, o.rule.Tokens})
}

// within is true if everything that the rule of o lets in was let in by that of
// before, but for what the rest of the APIRule decides; see [comparison].
func (o Opening) within(before Opening) bool {
	was, is := before.rule, o.rule
	return is.Strategy == was.Strategy && is.Service == was.Service && is.ServicePort == was.ServicePort &&
		covers(was.Path, is.Path) && among(is.Methods, was.Methods) && among(is.Tokens, was.Tokens)
}

// reachedAs is true if nobody reaches an APIRule who did not reach it before: through
// its hosts, gateways and the origins of browsers.
func reachedAs(was, is apirule.View) bool {
	return among(is.Hosts, was.Hosts) && is.Gateway == was.Gateway && (is.ExternalGateway == "" || is.ExternalGateway == was.ExternalGateway) &&
		among(is.CORS.Origins, was.CORS.Origins) && (was.CORS.Credentials || !is.CORS.Credentials)
}

func among[T comparable](values, of []T) bool {
	return !slices.ContainsFunc(values, func(value T) bool { return !slices.Contains(of, value) })
}

// comparison compares the protected rules in front of openings of an APIRule before
// and after a change. An author chooses how many rules there are, so it compares
// rule with rule only up to maxComparisons times, and then says that the change
// opens something.
type comparison struct {
	reached       bool           // by nobody who did not reach it before
	before, after []apirule.Rule // the protected rules, in their order
	same          int            // how many of them are the same, from the first
	left          int
}

// maxComparisons is how many times two paths are compared for one change.
const maxComparisons = 1 << 16

func newComparison(before, after []Finding) *comparison {
	c := &comparison{left: maxComparisons}
	was, is := viewOf(before), viewOf(after)
	c.reached = reachedAs(was, is)
	c.before, c.after = protectedRules(was), protectedRules(is)
	for c.same < len(c.before) && c.same < len(c.after) && keepsAway(c.after[c.same], c.before[c.same]) {
		c.same++
	}
	return c
}

// viewOf returns the APIRule that findings about open rules are about.
func viewOf(findings []Finding) apirule.View {
	at := slices.IndexFunc(findings, func(one Finding) bool { return one.Opens != nil })
	if at < 0 {
		return apirule.View{}
	}
	return findings[at].Opens.view
}

func protectedRules(view apirule.View) []apirule.Rule {
	var rules []apirule.Rule
	for _, rule := range view.Rules {
		if rule.Protected() {
			rules = append(rules, rule)
		}
	}
	return rules
}

// more is true as long as something may still be compared.
func (c *comparison) more() bool {
	c.left--
	return c.left >= 0
}

// keptInFront is true if nobody else reaches the APIRule, and what protected rules in
// front kept from an open rule is still kept from it.
func (c *comparison) keptInFront(before, after Opening) bool {
	if !c.reached {
		return false
	}
	had, has := inFront(c.before, before.rule), inFront(c.after, after.rule)
	if had <= c.same && had <= has {
		return true
	}
	for _, rule := range c.before[:had] {
		if !c.more() || meet(rule, after.rule) && !c.keeps(c.after[:has], rule, after.rule.Methods) {
			return false
		}
	}
	return true
}

// inFront is how many of the rules, which are in their order, are before one.
func inFront(rules []apirule.Rule, one apirule.Rule) int {
	return sort.Search(len(rules), func(i int) bool { return rules[i].Index >= one.Index })
}

// keeps is true if each request of a rule with one of the methods is taken by one of
// the rules.
func (c *comparison) keeps(rules []apirule.Rule, from apirule.Rule, methods []string) bool {
	for _, method := range from.Methods {
		if slices.Contains(methods, method) && !slices.ContainsFunc(rules, func(rule apirule.Rule) bool {
			return slices.Contains(rule.Methods, method) && c.more() && covers(rule.Path, from.Path)
		}) {
			return false
		}
	}
	return true
}

// keepsAway is true if a protected rule keeps away what another one did.
func keepsAway(rule, other apirule.Rule) bool {
	return rule.Path == other.Path && among(other.Methods, rule.Methods)
}

// meet is true if there may be a request that both rules match.
func meet(a, b apirule.Rule) bool {
	return slices.ContainsFunc(a.Methods, func(method string) bool { return slices.Contains(b.Methods, method) }) &&
		meetSegments(segments(a.Path), segments(b.Path))
}

// meetSegments is false only where it is sure that no path matches both.
func meetSegments(a, b []string) bool {
	for i := range max(len(a), len(b)) {
		if i < len(a) && a[i] == "{**}" || i < len(b) && b[i] == "{**}" {
			return true
		}
		if i >= len(a) || i >= len(b) {
			return false
		}
		if a[i] != b[i] && a[i] != "{*}" && b[i] != "{*}" {
			return false
		}
	}
	return true
}
