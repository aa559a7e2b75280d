// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// maxPaths bounds the paths of one host: what is made of them, and whether Kyma
// takes it, is found by looking at each pair.
const maxPaths = 512

// conversion turns the routes of one host into rules of v2.
type conversion struct {
	// was are the routes as they were, routes what is to be made of them.
	was, routes []route
	rules       []rule
	notes       []Note
	// left are the routes that have no rule on purpose, dropped those that v2 would
	// refuse, whatever they are for.
	left, dropped map[int]bool
	// unanswered are the routes of which earlier ones take requests away.
	unanswered map[int]bool
	how        mode
}

// mode says what becomes of routes that v2 cannot have.
type mode int

const (
	// allOrNone refuses all routes, as Kyma does (Kyma api-gateway,
	// v1beta1/apirule_conversion.go).
	allOrNone mode = iota
	// closing leaves out those that have no form, if nothing is opened by that.
	closing
	// partial leaves out, or gives to the authorizer, whatever stands against the
	// others.
	partial
)

// convert makes rules of v2 that let in whom the routes let in, and nobody else.
// If there are none, it has no rules, and notes that say which request would have
// been let in.
func convert(routes []route, how mode) conversion {
	c := conversion{was: routes, routes: slices.Clone(routes), how: how, left: map[int]bool{}, dropped: map[int]bool{}, unanswered: map[int]bool{}}
	paths := 0
	for i, r := range c.routes {
		paths += max(1, len(r.paths))
		c.left[i] = len(r.paths) == 0 || r.credential == nobody || len(r.methods) == 0
	}
	switch {
	case len(routes) == 0:
	case paths > maxPaths:
		c.refuse(routes[0], "the rules have %d paths, more than the %d that can be compared before and after", paths, maxPaths)
	case how == partial:
		c.mend()
	default:
		c.judge()
	}
	if len(c.rules) > 0 {
		c.tellUnused()
	}
	return c
}

// judge refuses all rules if one of them cannot be what it was.
func (c *conversion) judge() {
	for i := range c.routes {
		switch problem := c.routes[i].why(); {
		case problem == "":
		case c.how == closing:
			c.left[i] = true
			c.lose(c.routes[i].placed(), "%s; it is left out, which closes it", problem)
		default:
			c.refuse(c.routes[i].placed(), "%s", problem)
		}
	}
	clash := c.emit()
	if clash != nil {
		c.refuse(c.routes[clash.from], "%s", clash.sentence(c))
	}
	opened, closed, err := compare(c.was, c.rules, false)
	if err != nil {
		c.refuse(c.routes[0], "%s", err)
	}
	for _, b := range opened {
		c.refuse(c.routes[c.rules[b.rule].from], "%s", b.sentence(c.was))
	}
	if slices.ContainsFunc(c.notes, func(note Note) bool { return note.Kind == Refused }) {
		c.rules = nil
		return
	}
	c.tellClosed(closed)
}

// tellClosed says which requests do not get in any more, because Kyma cannot
// exclude a path from a rule that is about it too.
func (c *conversion) tellClosed(closed []breach) {
	for _, b := range closed {
		c.lose(c.routes[b.was], "%s %s was let in by this rule and is not any more: Kyma applies the policies of other rules to it as well", b.method, bound.Text(b.path))
	}
}

// mend gives rules in doubt to the authorizer or leaves them out, until nothing
// is let in that was not.
func (c *conversion) mend() {
	for i := range c.routes {
		r := &c.routes[i]
		switch {
		case len(r.paths) == 0 && r.credential != nobody, len(r.methods) == 0:
			c.lose(r.placed(), "%s; the rule is left out", r.why())
		case r.problem != "":
			c.lose(r.placed(), "%s; the authorizer decides instead", r.problem)
			r.toAuthorizer()
		}
	}
	for {
		if clash := c.emit(); clash != nil {
			c.lose(c.routes[clash.from], "%s; the rule is left out", clash.sentence(c))
			c.left[clash.from], c.dropped[clash.from] = true, true
			continue
		}
		opened, closed, err := compare(c.was, c.rules, true)
		if err != nil {
			c.refuse(c.routes[0], "%s", err)
			c.rules = nil
			return
		}
		if len(opened) == 0 {
			c.tellClosed(closed)
			return
		}
		// What is mended for one request may be enough for the next.
		mended := map[int]bool{}
		for _, b := range opened {
			if !mended[b.was] || b.was < 0 {
				mended[b.was] = true
				c.mendOne(b)
			}
		}
	}
}

// mendOne keeps one request out. Every call gives a rule to the authorizer that
// was not, or leaves one out for good, so that mend comes to an end.
func (c *conversion) mendOne(b breach) {
	if b.before.credential == nobody && c.left[b.was] && !c.dropped[b.was] && len(c.routes[b.was].paths) > 0 {
		c.left[b.was] = false
		c.routes[b.was].toAuthorizer()
		c.lose(c.routes[b.was], "the rule refused everybody; now the authorizer decides, because a later rule would let %s %s in", b.method, bound.Text(b.path))
		return
	}
	from := c.rules[b.rule].from
	r := &c.routes[from]
	if r.credential == anybody {
		c.lose(*r, "%s; the authorizer decides about the rule instead", b.sentence(c.was))
		r.toAuthorizer()
		return
	}
	c.lose(*r, "%s; the rule is left out", b.sentence(c.was))
	c.left[from] = true
}

// tellUnused says which routes have no rule because no request reached them, and
// which requests went to Oathkeeper in vain.
func (c *conversion) tellUnused() {
	const istio = " (with Kyma's setting \"jwtHandler: istio\" they were let in; change the result in that case)"
	for i, r := range c.routes {
		used := slices.ContainsFunc(c.rules, func(rule rule) bool { return rule.from == i && !rule.guard })
		switch {
		case c.left[i]:
		case c.unanswered[i]:
			c.lose(r, "an earlier rule sent some of these requests to Oathkeeper, which had no rule for them and did not serve them; they are left out"+istio)
		case !used:
			c.notes = append(c.notes, Note{Source: r.source, Path: r.at, Kind: Todo, Text: "an earlier rule matches every request of this one, so none ever reached it; it is left out"})
		}
		guard := slices.IndexFunc(c.rules, func(rule rule) bool { return rule.from == i && rule.guard })
		if guard >= 0 {
			c.lose(r, "Oathkeeper had no rule for %s requests to this path and did not serve them; a later rule would let them in without credentials, so a rule of their own asks for credentials"+istio,
				strings.Join(c.rules[guard].methods, ", "))
		}
	}
}

func (c *conversion) refuse(r route, format string, args ...any) {
	c.notes = append(c.notes, Note{Source: r.source, Path: r.at, Kind: Refused, Text: "not migrated: " + fmt.Sprintf(format, args...)})
}

func (c *conversion) lose(r route, format string, args ...any) {
	c.notes = append(c.notes, Note{Source: r.source, Path: r.at, Kind: Lost, Text: fmt.Sprintf(format, args...)})
}

// why says why v2 has no rule for the route, "" if it has.
func (r *route) why() string {
	switch {
	case r.credential == nobody:
		return ""
	case r.problem != "":
		return r.problem
	case len(r.methods) == 0:
		return "the rule lists no method that v2 knows"
	case len(r.paths) == 0:
		return fmt.Sprintf("the path %s has no form in v2, which knows whole segments, {*} for one and {**} for the rest; write the rules by hand", quoted(r.written))
	}
	return ""
}

// placed returns the route with the field of its problem.
func (r *route) placed() route {
	placed := *r
	switch {
	case r.problemAt != "":
		placed.at = r.problemAt
	case len(r.methods) == 0:
		placed.at += ".methods"
	case len(r.paths) == 0:
		placed.at += ".path"
	}
	return placed
}

// label names the route in a sentence.
func (r *route) label() string {
	if r.object == "" {
		return r.at
	}
	return r.object + ", " + r.at
}

// toAuthorizer lets the authorizer decide instead of whatever did.
func (r *route) toAuthorizer() {
	r.credential, r.problem = authorizer, ""
}

// clash is a path that Kyma refuses behind another one.
type clash struct {
	from, earlier int
	path, other   string
}

func (c *clash) sentence(of *conversion) string {
	return fmt.Sprintf("v2 refuses the path %s behind %s of %s; write the rules by hand", bound.Text(c.path), bound.Text(c.other), of.routes[c.earlier].label())
}

// emit makes rules of all routes that are not left out. Methods of a path that an
// earlier rule takes are not repeated, because v2 refuses that.
func (c *conversion) emit() *clash {
	c.rules = nil
	for i := range c.routes {
		if c.left[i] {
			continue
		}
		for _, methods := range c.together(i) {
			before := len(methods)
			for _, path := range c.routes[i].paths {
				methods := slices.DeleteFunc(slices.Clone(methods), func(method string) bool { return c.taken(i, path, method) })
				c.unanswered[i] = c.unanswered[i] || len(methods) < before
				if clash := c.emitOne(rule{from: i, path: path, methods: methods, credential: c.routes[i].credential}); clash != nil {
					return clash
				}
			}
		}
	}
	return nil
}

// emitOne adds a rule for the methods that no earlier one takes, behind its guards.
func (c *conversion) emitOne(r rule) *clash {
	r.methods = slices.DeleteFunc(slices.Clone(r.methods), func(method string) bool {
		return slices.ContainsFunc(c.rules, func(earlier rule) bool {
			return slices.Contains(earlier.methods, method) && covers(earlier.path, r.path)
		})
	})
	if len(r.methods) == 0 {
		return nil
	}
	if !r.guard {
		if clash := c.guard(r); clash != nil {
			return clash
		}
	}
	for _, earlier := range c.rules {
		if conflict(earlier.path, r.path) && slices.ContainsFunc(r.methods, func(method string) bool { return slices.Contains(earlier.methods, method) }) {
			return &clash{from: r.from, earlier: earlier.from, path: r.path, other: earlier.path}
		}
	}
	r.service = c.routes[r.from].service
	c.rules = append(c.rules, r)
	return nil
}

// past is true if a route lets anybody in past Oathkeeper, to which an earlier one
// led. Kyma's routes to Oathkeeper are taken for every method, and a method that no
// rule of Oathkeeper lists is answered by nobody; v2 lets the later rule answer.
// With Kyma's setting "jwtHandler: istio" it did so before, which cannot be known
// here.
func (r *route) past(earlier *route) bool {
	return r.credential == anybody && !r.oathkeeper && earlier.oathkeeper
}

// taken is true if an earlier route to Oathkeeper took a request away from a later
// one past it.
func (c *conversion) taken(i int, path, method string) bool {
	return slices.ContainsFunc(c.was[:i], func(earlier route) bool {
		return c.was[i].past(&earlier) && !slices.Contains(earlier.methods, method) &&
			slices.ContainsFunc(earlier.takingPaths, func(wide string) bool { return covers(wide, path) })
	})
}

// guard puts rules before one that lets anybody in past Oathkeeper, for the paths
// of earlier routes within it and the methods that these lack. They ask for what
// the earlier route asks for, or for the authorizer.
func (c *conversion) guard(open rule) *clash {
	for k, earlier := range c.was[:open.from] {
		if !c.routes[open.from].past(&earlier) || c.dropped[k] {
			continue
		}
		credential := earlier.credential
		if c.how == partial || credential == anybody || credential == nobody || earlier.problem != "" {
			credential = authorizer
		}
		methods := slices.DeleteFunc(slices.Clone(open.methods), func(method string) bool { return slices.Contains(earlier.methods, method) })
		for _, path := range earlier.takingPaths {
			if !covers(open.path, path) {
				continue
			}
			if clash := c.emitOne(rule{from: k, path: path, methods: methods, credential: credential, guard: true}); clash != nil {
				return clash
			}
		}
	}
	return nil
}

// together returns the methods of a route, apart where earlier rules make a
// difference between them. Kyma excludes the path of an earlier rule from a later
// one that shares any method with it, for all methods. A request with a method
// that the earlier one lacks would be refused, although the later route took it,
// unless the earlier one led to Oathkeeper and the later one past it.
func (c *conversion) together(i int) [][]string {
	of := &c.routes[i]
	var order []string
	groups := map[string][]string{}
	for _, method := range of.methods {
		var differs strings.Builder
		for k, earlier := range c.rules {
			shares := slices.Contains(earlier.methods, method)
			if !shares && c.routes[earlier.from].oathkeeper && !of.oathkeeper {
				shares = slices.ContainsFunc(earlier.methods, func(other string) bool { return slices.Contains(of.methods, other) })
			}
			if shares && slices.ContainsFunc(of.paths, func(path string) bool { return overlap(earlier.path, path) }) {
				fmt.Fprintf(&differs, "%d,", k)
			}
		}
		if _, known := groups[differs.String()]; !known {
			order = append(order, differs.String())
		}
		groups[differs.String()] = append(groups[differs.String()], method)
	}
	methods := make([][]string, 0, len(order))
	for _, group := range order {
		methods = append(methods, groups[group])
	}
	return methods
}

// sentence says what would happen to a request.
func (b *breach) sentence(routes []route) string {
	request := b.method + " " + bound.Text(b.path)
	var before string
	switch b.before.credential {
	case "":
		before = "was not served"
	case nobody:
		before = "was refused to everybody (" + routes[b.was].label() + ")"
	case anybody:
		return fmt.Sprintf("%s would reach the Service %s instead of %s", request, serviceName(b.after.service), serviceName(b.before.service))
	default:
		before = "needed credentials (" + routes[b.was].label() + ")"
	}
	switch b.after.credential {
	case anybody:
		return fmt.Sprintf("%s %s and would be open to everybody", request, before)
	case authorizer:
		return fmt.Sprintf("%s %s and would be left to the authorizer", request, before)
	}
	return fmt.Sprintf("%s %s and would accept a token of another jwt", request, before)
}
