// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// What a request must bring to get in. A jwt is its configuration as JSON.
const (
	// nobody is what an explicit refusal asks for; "" is the same without one.
	nobody = "nobody"
	// anybody gets in without credentials.
	anybody = "anybody"
	// authorizer is whoever an external authorizer lets in.
	authorizer = "extAuth"
)

// route is a rule as it was: a route of the VirtualService that Kyma made of an
// APIRule v1beta1, or a location of nginx. Routes are tried in order.
type route struct {
	// at is the field that it comes from, of the object with the index source, and
	// object its name where there are several.
	at, object string
	source     int
	// written is the path as its author wrote it, pattern the regular expression
	// that a whole path has to match.
	written, pattern string
	// exact is true for a location of nginx that is tried before all that are not.
	exact bool
	// paths are what takes its place in v2, see formOf; empty if nothing can.
	paths   []string
	methods []string
	// credential is what a request has to bring: anybody, nobody, authorizer or a
	// jwt.
	credential string
	// oathkeeper is true if the route led to Ory Oathkeeper, which then looked for
	// a rule by path and method again, whatever route had led to it.
	oathkeeper bool
	// taking is the regular expression of the paths that a route to Oathkeeper is
	// taken for whatever the method is, takingPaths what stands for it in v2.
	taking      string
	takingPaths []string
	// service is where requests go to, as namespace/name.
	service string
	// problem says why v2 does not take the rule though it has paths, "" if it
	// does; problemAt is the field, "" for at.
	problem, problemAt string
	// content are the other fields of the rule in v2: service, timeout, request,
	// and the jwt of a route whose credential that is.
	content map[string]any
}

// rule is a rule of v2: one path of a route, for some of its methods.
type rule struct {
	// from is the index of its route.
	from       int
	path       string
	methods    []string
	credential string
	service    string
	// guard is true for a rule that stands only for requests that nobody answered,
	// see guard in this package.
	guard bool
}

// breach is a request that would be treated otherwise after a migration.
type breach struct {
	method, path string
	// rule is the index of the rule of v2 that lets it in, or should.
	rule int
	// was is the route that decided about it before, -1 for none.
	was           int
	before, after admission
}

// admission is who gets in, and where to.
type admission struct{ credential, service string }

// compare looks at every request that routes or rules can tell from another. It
// returns those that rules let in and routes did not, and those that a route and
// its rule are both about, but that do not get in by it any more, because policies
// of other rules apply as well: the one with the shortest path for each route that
// a rule comes from. An authorizer instead of what was before is no breach if it
// may stand in.
//
// What is not looked at: paths with percent-encoded or unusual characters, which
// no pattern here names, and conditions besides path and method.
func compare(routes []route, rules []rule, standIn bool) (opened, closed []breach, err error) {
	c := comparison{routes: routes, rules: rules, standIn: standIn}
	if err := c.addPatterns(); err != nil {
		return nil, nil, err
	}
	methods := slices.DeleteFunc(knownMethods(), func(method string) bool {
		return !slices.ContainsFunc(rules, func(rule rule) bool { return slices.Contains(rule.methods, method) })
	})
	known := map[int]bool{}
	first := func(breaches []breach, b breach, sign int) []breach {
		if from := sign * (1 + rules[b.rule].from); !known[from] {
			known[from] = true
			breaches = append(breaches, b)
		}
		return breaches
	}
	err = c.patterns.each(func(path string, matched []int) {
		c.match(matched)
		for _, method := range methods {
			b := breach{method: method, path: path}
			b.was, b.before = c.before(method)
			admitted := c.after(method)
			if c.opens(&b, admitted) {
				opened = first(opened, b, 1)
			}
			if c.closes(&b, admitted) {
				closed = first(closed, b, -1)
			}
		}
	})
	return opened, closed, err
}

// comparison knows which patterns belong to which route and rule.
type comparison struct {
	routes   []route
	rules    []rule
	standIn  bool
	patterns patterns
	// uses says for each pattern what it is about, indexes holds the index of each,
	// and notPaths which earlier rules Kyma excludes from each rule.
	uses     [][]use
	indexes  map[string]int
	notPaths [][]int
	// unreadable are routes whose pattern cannot be read: they may match anything.
	unreadable []int
	prefixes   []int
	// The sets of indexes that match the path which is looked at, in order.
	was, taking       []int
	routed, may, must []int
}

// use is what a pattern is about.
type use struct {
	kind  useKind
	index int
}

type useKind int

const (
	// ofRoute is the pattern of a route, toOathkeeper that of one which is taken for
	// all methods.
	ofRoute useKind = iota
	toOathkeeper
	// toRule leads to a rule in the VirtualService.
	toRule
	// mayMatch and mustMatch are the path in an AuthorizationPolicy of a rule:
	// what Envoy may take for it, and what it certainly does.
	mayMatch
	mustMatch
)

func (c *comparison) addPatterns() error {
	c.indexes = map[string]int{}
	for i, r := range c.routes {
		c.prefixes = append(c.prefixes, literalPrefix(r.pattern))
		if err := errors.Join(c.add(r.pattern, use{ofRoute, i}), c.add(r.taking, use{toOathkeeper, i})); err != nil {
			c.unreadable = append(c.unreadable, i)
		}
	}
	for i, r := range c.rules {
		may, must := policyPatterns(r.path)
		err := errors.Join(c.add(virtualServicePattern(r.path), use{toRule, i}), c.add(may, use{mayMatch, i}), c.add(must, use{mustMatch, i}))
		if err != nil {
			return err // formOf makes no such path
		}
		c.notPaths = append(c.notPaths, notPaths(c.rules, i))
	}
	return nil
}

func (c *comparison) add(pattern string, u use) error {
	index, known := c.indexes[pattern]
	if !known {
		if err := c.patterns.add(pattern); err != nil {
			return err
		}
		index = len(c.uses)
		c.indexes[pattern], c.uses = index, append(c.uses, nil)
	}
	c.uses[index] = append(c.uses[index], u)
	return nil
}

func (c *comparison) match(matched []int) {
	c.was = append(c.was[:0], c.unreadable...)
	c.taking, c.routed, c.may, c.must = c.taking[:0], c.routed[:0], c.may[:0], c.must[:0]
	for _, pattern := range matched {
		for _, u := range c.uses[pattern] {
			switch u.kind {
			case ofRoute:
				c.was = append(c.was, u.index)
			case toOathkeeper:
				c.taking = append(c.taking, u.index)
			case toRule:
				c.routed = append(c.routed, u.index)
			case mayMatch:
				c.may = append(c.may, u.index)
			case mustMatch:
				c.must = append(c.must, u.index)
			}
		}
	}
	slices.Sort(c.was)
	slices.Sort(c.routed)
	slices.Sort(c.may)
}

// opens is true if somebody is admitted who was not; it says by which rule.
func (c *comparison) opens(b *breach, admitted []admittedBy) bool {
	for _, a := range admitted {
		answered := b.before != admission{}
		if !c.allowed(b.before, a.admission) && (answered || !c.rules[a.rule].guard) {
			b.rule, b.after = a.rule, a.admission
			return true
		}
	}
	return false
}

func (c *comparison) allowed(before, after admission) bool {
	switch {
	case after.credential == anybody:
		return before == after
	case c.standIn && after.credential == authorizer:
		return true
	}
	return before.credential == anybody || before.credential == after.credential
}

// closes is true if a rule is there for who got in, and they do not.
func (c *comparison) closes(b *breach, admitted []admittedBy) bool {
	if b.before.credential == "" || b.before.credential == nobody {
		return false
	}
	rule := slices.IndexFunc(c.may, func(i int) bool {
		return c.rules[i].from == b.was && c.rules[i].credential == b.before.credential && slices.Contains(c.rules[i].methods, b.method)
	})
	if rule < 0 || slices.ContainsFunc(admitted, func(a admittedBy) bool { return a.credential == b.before.credential }) {
		return false
	}
	b.rule, b.after = c.may[rule], admission{}
	return true
}

// before says who got in. The first route for path and method decides. Two things
// keep a request out that this route would let in without credentials (Kyma
// api-gateway, internal/processing/processors/ory/virtual_service_processor.go):
// an earlier route to Oathkeeper is taken for every method, and Oathkeeper has no
// rule for a handler that leads past it; and Oathkeeper answers with an error
// where two of its rules match, which is taken for a refusal where the one behind
// is about less.
func (c *comparison) before(method string) (decided int, a admission) {
	for position, i := range c.was {
		r := &c.routes[i]
		switch {
		case slices.Contains(c.unreadable, i):
			return i, admission{}
		case !slices.Contains(r.methods, method):
			continue
		case r.credential == nobody:
			return i, admission{credential: nobody}
		case r.credential != anybody:
		case !r.oathkeeper && slices.ContainsFunc(c.taking, func(k int) bool { return k < i && c.routes[k].oathkeeper }):
			return i, admission{}
		case r.oathkeeper && c.contested(method, i, c.was[position+1:]):
			return i, admission{}
		}
		return i, admission{credential: r.credential, service: r.service}
	}
	return -1, admission{}
}

func (c *comparison) contested(method string, i int, later []int) bool {
	return slices.ContainsFunc(later, func(k int) bool {
		other := &c.routes[k]
		return other.credential != anybody && c.prefixes[k] > c.prefixes[i] && slices.Contains(other.methods, method)
	})
}

type admittedBy struct {
	admission
	rule int
}

// after says who gets in by which rules. The VirtualService decides where a
// request goes to, but who gets in is decided by the AuthorizationPolicies of all
// rules together, on the workload: one that allows is enough, if every authorizer
// agrees that has to be asked (Kyma api-gateway,
// internal/processing/processors/v2alpha1). Of two Services nobody knows here
// whether they have the same Pods, so that what allows is believed of all rules,
// and what refuses of those of the same Service only.
func (c *comparison) after(method string) []admittedBy {
	route := slices.IndexFunc(c.routed, func(i int) bool { return slices.Contains(c.rules[i].methods, method) })
	if route < 0 {
		return nil
	}
	service := c.rules[c.routed[route]].service
	asked := slices.ContainsFunc(c.must, func(i int) bool {
		return c.rules[i].credential == authorizer && c.rules[i].service == service && c.selects(i, method, c.may)
	})
	var admitted []admittedBy
	for _, i := range c.may {
		if !c.selects(i, method, c.must) {
			continue
		}
		credential := c.rules[i].credential
		if credential == anybody && asked {
			credential = authorizer
		}
		admitted = append(admitted, admittedBy{admission{credential, service}, i})
	}
	return admitted
}

// selects is true if the policy of a rule, whose path matches, is about the
// method and does not exclude the path.
func (c *comparison) selects(i int, method string, excluded []int) bool {
	return slices.Contains(c.rules[i].methods, method) &&
		!slices.ContainsFunc(c.notPaths[i], func(earlier int) bool { return slices.Contains(excluded, earlier) })
}

// notPaths returns the earlier rules whose paths Kyma excludes in the policies of
// a rule: those that share a method with it, for all methods, but never "/", "/*"
// and "/{**}", and none that stands behind the first rule of the same path (Kyma
// api-gateway, authorizationpolicy/creator.go, generateNotPaths).
func notPaths(rules []rule, of int) []int {
	var excluded []int
	everything := func(path string) bool { return path == "/" || path == "/*" || path == "/{**}" }
	for i, earlier := range rules {
		switch {
		case everything(earlier.path):
		case earlier.path == rules[of].path:
			return excluded
		case slices.ContainsFunc(earlier.methods, func(method string) bool { return slices.Contains(rules[of].methods, method) }):
			excluded = append(excluded, i)
		}
	}
	return excluded
}

// virtualServicePattern is the regular expression that Kyma makes of a path. It
// does not quote characters (Kyma api-gateway,
// v2alpha1/virtualservice/virtual_service_processor.go, prepareRegexPath).
func virtualServicePattern(path string) string {
	if path == "/*" {
		return "/.*"
	}
	return strings.NewReplacer("{**}", ".*", "{*}", "[^/]+").Replace(path)
}

// policyPatterns are what Envoy may take and certainly takes for a path in an
// AuthorizationPolicy. They differ for an operator in the middle of a path, of
// which Kyma's documentation and Envoy's template say different things about
// empty segments (docs/user/expose-workloads/significance-of-rule-path-and-method-order.md).
func policyPatterns(path string) (may, must string) {
	segments := operators(path)
	for i, part := range segments {
		m, n := regexp.QuoteMeta(part), regexp.QuoteMeta(part)
		switch {
		case part == "{*}":
			m, n = "[^/]+", "[^/]+"
		case part == "{**}" && i == len(segments)-1:
			m, n = ".*", ".*"
		case part == "{**}":
			m, n = ".*", "[^/]+(/[^/]+)*"
		}
		may, must = may+"/"+m, must+"/"+n
	}
	return may, must
}

// literalPrefix returns how many characters a pattern begins with before its
// first operator.
func literalPrefix(pattern string) int {
	expression, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	for expression.Op == syntax.OpConcat || expression.Op == syntax.OpCapture {
		expression = expression.Sub[0]
	}
	if expression.Op != syntax.OpLiteral {
		return 0
	}
	return len(expression.Rune)
}
