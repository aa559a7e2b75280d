// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"flag"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/migrate"
)

var generated = flag.Int("apirules", 1500, "how many APIRules v1beta1 are generated")

const seed = 20

// Whatever a migration lets in without credentials was let in without credentials,
// in APIRules v1beta1 that have rules of all kinds in any order. The evaluators of
// before and after are written for this test from Kyma's documentation and code,
// work on single requests, and share nothing with the code.
func TestNothingIsOpenedInGeneratedAPIRules(t *testing.T) {
	var total tally
	var lock sync.Mutex
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var own tally
			for i := worker; i < *generated; i += runtime.GOMAXPROCS(0) {
				own.judge(t, i)
			}
			lock.Lock()
			defer lock.Unlock()
			total.add(own)
		})
	}
	workers.Wait()
	t.Logf("%d APIRules v1beta1 (seed %d): %d converted, %d more in part, %d refused; %d requests compared, %d open before and after, %d closed by something that a note says; 0 opened",
		*generated, seed, total.converted, total.partial, total.refused, total.requests, total.kept, total.closed)
	assert.Equal(t, *generated, total.converted+total.partial+total.refused)
	assert.Greater(t, total.converted, *generated/10, "the generator makes what can be converted")
	assert.Greater(t, total.partial, *generated/10, "and what cannot")
	assert.Greater(t, total.kept, 10**generated/20, "and what is open")
}

type tally struct{ converted, partial, refused, requests, kept, closed int }

func (c *tally) add(other tally) {
	c.converted += other.converted
	c.partial += other.partial
	c.refused += other.refused
	c.requests += other.requests
	c.kept += other.kept
	c.closed += other.closed
}

// judge migrates the APIRule of a number and sends requests to it.
func (c *tally) judge(t *testing.T, number int) {
	random := rand.New(rand.NewPCG(seed, uint64(number))) //nolint:gosec // the same APIRules every time
	old := generate(random)
	source := old.object()
	whole := migrate.Objects([]map[string]any{source}, migrate.Options{})
	part := migrate.Objects([]map[string]any{source}, migrate.Options{Partial: true})
	switch {
	case whole.APIRules() == 1:
		c.converted++
	case part.APIRules() == 1:
		c.partial++
	default:
		c.refused++
	}
	paths := old.paths(random)
	for name, outcome := range map[string]migrate.Outcome{"whole": whole, "part": part} {
		result := outcome.Results[0]
		if !assert.Equal(t, result.APIRule == nil, result.Has(migrate.Refused), "number %d, %s", number, name) || result.APIRule == nil {
			continue
		}
		after := readNew(result.APIRule)
		for _, path := range paths {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				c.requests++
				anonymous, token := after.admits(method, path)
				open := old.open(method, path)
				switch {
				case anonymous && !open:
					raw, _ := outcome.YAML()
					assert.Fail(t, "a request was opened", "number %d, %s: %s %s\n%s\n%s", number, name, method, path, old, raw)
					return
				case token && name == "whole" && !old.reachable(method, path):
					raw, _ := outcome.YAML()
					assert.Fail(t, "a request that nobody could send is let in with a token", "number %d: %s %s\n%s\n%s", number, method, path, old, raw)
					return
				case anonymous:
					c.kept++
				case open && name == "whole" && !old.nearly(method, path):
					c.closed++
					if !assert.True(t, result.Has(migrate.Lost), "number %d: %s %s is closed and no note says that something is lost\n%s", number, method, path, old) {
						return
					}
				}
			}
		}
	}
}

// oldAPIRule is an APIRule v1beta1.
type oldAPIRule []oldRule

type oldRule struct {
	path       string
	pattern    *regexp.Regexp
	methods    []string
	strategies []string
	service    string
}

func (a oldAPIRule) String() string {
	raw, _ := yaml.Marshal(a.object()["spec"])
	return string(raw)
}

func generate(random *rand.Rand) oldAPIRule {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	segment := func() string { return pick("a", "b", "admin", "api") }
	rules := make(oldAPIRule, 1+random.IntN(5))
	for i := range rules {
		rule := &rules[i]
		rule.path = pick("/.*", "/.*", "/.*", "/S/.*", "/S/.*", "/S/.*", "/S", "/S", "/S/S", "/", "/S(.*)", "/S.*", "/(S|S)/.*", "/(S|S)", "/S/[^/]+", "/S/[^/]+/S",
			"/S/.+", "/v[0-9]+/.*", "/S/?", "/S(/.*)?", "/*", "/S/*", "/S/.*/S", "/S\\.S", "/S.S", ".*", "/S(/|$)(.*)", "/[ab]/.*", "/S/S/.*", "/.*/S", "/[^/]+", "/[^/]+/S", "/(?i)S", "/S/(.*)", "(/.*)", "/S/.*$")
		for strings.Contains(rule.path, "S") {
			rule.path = strings.Replace(rule.path, "S", segment(), 1)
		}
		rule.pattern = regexp.MustCompile(`^(?:` + rule.path + `)$`)
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			if random.IntN(2) == 0 {
				rule.methods = append(rule.methods, method)
			}
		}
		if len(rule.methods) == 0 {
			rule.methods = []string{"GET"}
		}
		rule.strategies = []string{pick("allow", "allow", "noop", "noop", "no_auth", "no_auth", "jwt", "jwt", "jwt2", "oauth2_introspection", "oauth2_introspection", "unauthorized", "cookie_session", "jwtbad")}
		if random.IntN(20) == 0 {
			rule.strategies = append(rule.strategies, pick("allow", "noop", "jwt", "unauthorized"))
		}
		rule.service = pick("main", "main", "main", "main", "other")
	}
	return rules
}

func (a oldAPIRule) object() map[string]any {
	var rules []any
	for _, rule := range a {
		var strategies, methods []any
		for _, strategy := range rule.strategies {
			switch strategy {
			case "jwt", "jwt2":
				issuer := "https://" + strategy + ".example.com"
				strategies = append(strategies, map[string]any{"handler": "jwt", "config": map[string]any{"authentications": []any{map[string]any{"issuer": issuer, "jwksUri": issuer + "/keys"}}}})
			case "jwtbad":
				strategies = append(strategies, map[string]any{"handler": "jwt", "config": map[string]any{"jwks_urls": []any{"https://jwt.example.com/keys"}}})
			default:
				strategies = append(strategies, map[string]any{"handler": strategy})
			}
		}
		for _, method := range rule.methods {
			methods = append(methods, method)
		}
		rules = append(rules, map[string]any{"path": rule.path, "methods": methods, "accessStrategies": strategies, "service": map[string]any{"name": rule.service, "port": int64(80)}})
	}
	return map[string]any{
		"apiVersion": "gateway.kyma-project.io/v1beta1", "kind": "APIRule", "metadata": map[string]any{"name": "a", "namespace": "n"},
		"spec": map[string]any{"host": "a.example.com", "gateway": "k/g", "corsPolicy": map[string]any{"allowMethods": []any{"GET"}}, "rules": rules},
	}
}

func isOpen(strategy string) bool {
	return strategy == "allow" || strategy == "noop" || strategy == "no_auth"
}

// direct is true for a rule whose route leads past Oathkeeper.
func (r oldRule) direct() bool {
	return !slices.ContainsFunc(r.strategies, func(strategy string) bool { return strategy != "allow" && strategy != "no_auth" })
}

func (r oldRule) takes(method, path string) bool {
	return slices.Contains(r.methods, method) && r.pattern.MatchString(path)
}

// byIstio returns the APIRule as Kyma takes it by its setting "jwtHandler: istio",
// in which "/*" is everything.
func (a oldAPIRule) byIstio() oldAPIRule {
	taken := slices.Clone(a)
	for i := range taken {
		if taken[i].path == "/*" {
			taken[i].pattern = everything
		}
	}
	return taken
}

var dot = regexp.MustCompile(`[a-z]\.[a-z]`)

var everything = regexp.MustCompile("^/.*$")

// open says whether a request got in without credentials, by all readings at once:
// rules in order, of which the first for path and method counts, and what Kyma
// made of them by one setting and the other. A request about which Oathkeeper has
// two rules is left to the first reading: the other one is that it fails, for
// everybody.
func (a oldAPIRule) open(method, path string) bool {
	return a.openByOrder(method, path) && a.served(method, path, false) &&
		a.byIstio().openByOrder(method, path) && a.byIstio().served(method, path, true)
}

func (a oldAPIRule) openByOrder(method, path string) bool {
	first := slices.IndexFunc(a, func(rule oldRule) bool { return rule.takes(method, path) })
	return first >= 0 && !slices.ContainsFunc(a[first].strategies, func(strategy string) bool { return !isOpen(strategy) })
}

// served follows a request without credentials through the VirtualService and
// Oathkeeper. Routes are restricted to methods where no_auth is among the handlers,
// or, by Istio, where allow is not.
func (a oldAPIRule) served(method, path string, istio bool) bool {
	route := slices.IndexFunc(a, func(rule oldRule) bool {
		restricted := slices.Contains(rule.strategies, "no_auth")
		if istio {
			restricted = !slices.Contains(rule.strategies, "allow")
		}
		return rule.pattern.MatchString(path) && (!restricted || slices.Contains(rule.methods, method))
	})
	if route < 0 {
		return false
	}
	if a[route].direct() {
		return true
	}
	var rules []oldRule
	for _, rule := range a {
		if !rule.direct() && rule.takes(method, path) {
			rules = append(rules, rule)
		}
	}
	// The authenticators are asked in order: noop takes everybody, unauthorized
	// nobody, and the others have nothing to say about a request without credentials.
	return len(rules) > 0 && slices.ContainsFunc(rules[0].strategies, func(strategy string) bool { return strategy == "noop" })
}

// nearly is true for a request that only a dot for any character let in, or one for
// "//", of which nothing is said.
func (a oldAPIRule) nearly(method, path string) bool {
	first := slices.IndexFunc(a, func(rule oldRule) bool { return rule.takes(method, path) })
	return strings.Contains(path, "//") || dot.MatchString(a[first].path)
}

// reachable says whether anybody could send a request, with whatever token, by one
// reading.
func (a oldAPIRule) reachable(method, path string) bool {
	return a.reachableByOrder(method, path) || a.byIstio().reachableByOrder(method, path)
}

func (a oldAPIRule) reachableByOrder(method, path string) bool {
	first := slices.IndexFunc(a, func(rule oldRule) bool { return rule.takes(method, path) })
	return first >= 0 && !slices.Contains(a[first].strategies, "unauthorized")
}

// paths returns paths that match the rules, and paths beside and below them.
func (a oldAPIRule) paths(random *rand.Rand) []string {
	paths := []string{"/", "/x", "/admin", "/admin/x", "/a/b"}
	for _, rule := range a {
		tree, _ := syntax.Parse(rule.path, syntax.Perl)
		for range 3 {
			sample := sampled(tree.Simplify(), random)
			paths = append(paths, sample)
			switch random.IntN(5) {
			case 0:
				paths = append(paths, sample+"/")
			case 1:
				paths = append(paths, sample+"x")
			case 2:
				paths = append(paths, sample+"/x")
			case 3:
				paths = append(paths, strings.TrimSuffix(sample, "/"))
			case 4:
				paths = append(paths, "/x"+sample)
			}
		}
	}
	slices.Sort(paths)
	return slices.DeleteFunc(slices.Compact(paths), func(path string) bool { return !strings.HasPrefix(path, "/") })
}

// sampled returns a text that the expression matches.
func sampled(tree *syntax.Regexp, random *rand.Rand) string {
	switch tree.Op {
	case syntax.OpLiteral:
		return string(tree.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{".", "x", "/", "a"}[random.IntN(4)]
	case syntax.OpCharClass:
		at := 2 * random.IntN(len(tree.Rune)/2)
		return string(min(max(tree.Rune[at], 'a'), tree.Rune[at+1]))
	case syntax.OpCapture:
		return sampled(tree.Sub[0], random)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		times := random.IntN(3)
		if tree.Op == syntax.OpPlus {
			times++
		}
		if tree.Op == syntax.OpQuest {
			times = min(times, 1)
		}
		if tree.Op != syntax.OpQuest && tree.Sub[0].Op == syntax.OpAnyCharNotNL {
			return []string{"x", "admin", "admin/x", "a/b", "api/", "a", "b/admin", "/"}[random.IntN(8)]
		}
		return sampledAll(slices.Repeat(tree.Sub[:1], times), random)
	case syntax.OpConcat:
		return sampledAll(tree.Sub, random)
	case syntax.OpAlternate:
		return sampled(tree.Sub[random.IntN(len(tree.Sub))], random)
	default:
		return ""
	}
}

func sampledAll(trees []*syntax.Regexp, random *rand.Rand) string {
	var text strings.Builder
	for _, tree := range trees {
		text.WriteString(sampled(tree, random))
	}
	return text.String()
}

// newAPIRule is an APIRule v2.
type newAPIRule []newRule

type newRule struct {
	path     string
	methods  []string
	strategy string // noAuth, jwt, or extAuth, which a rule without strategy will be
	service  string
	notPaths []string
}

func readNew(object map[string]any) newAPIRule {
	spec := object["spec"].(map[string]any)
	var rules newAPIRule
	for _, entry := range spec["rules"].([]any) {
		fields := entry.(map[string]any)
		rule := newRule{path: fields["path"].(string), strategy: "extAuth", service: fields["service"].(map[string]any)["name"].(string)}
		for _, method := range fields["methods"].([]any) {
			rule.methods = append(rule.methods, method.(string))
		}
		switch {
		case fields["noAuth"] == true:
			rule.strategy = "noAuth"
		case fields["jwt"] != nil:
			rule.strategy = "jwt"
		}
		rules = append(rules, rule)
	}
	for i := range rules {
		rules[i].notPaths = excluded(rules, rules[i])
	}
	return rules
}

// excluded is what Kyma puts into notPaths.
func excluded(rules newAPIRule, of newRule) []string {
	var paths []string
	before := true
	for _, rule := range rules {
		if rule.path == "/*" || rule.path == "/{**}" || rule.path == "/" {
			continue
		}
		if rule.path == of.path {
			before = false
			continue
		}
		shared := slices.ContainsFunc(rule.methods, func(method string) bool { return slices.Contains(of.methods, method) })
		if before && shared {
			paths = append(paths, rule.path)
		}
	}
	return paths
}

// admits says who gets in: without credentials, and with the right ones.
func (a newAPIRule) admits(method, path string) (anonymous, token bool) {
	route := slices.IndexFunc(a, func(rule newRule) bool {
		return slices.Contains(rule.methods, method) && matches(rule.path, path, true)
	})
	if route < 0 {
		return false, false
	}
	asked := false
	for _, rule := range a {
		if !slices.Contains(rule.methods, method) {
			continue
		}
		if rule.strategy == "extAuth" && rule.service == a[route].service && matches(rule.path, path, false) && !matchesOne(rule.notPaths, path, true) {
			asked = true
		}
		if matches(rule.path, path, true) && !matchesOne(rule.notPaths, path, false) {
			token = true
			anonymous = anonymous || rule.strategy == "noAuth"
		}
	}
	return anonymous && !asked, token
}

func matchesOne(templates []string, path string, generous bool) bool {
	return slices.ContainsFunc(templates, func(template string) bool { return matches(template, path, generous) })
}

// matches compares segment by segment. What "{**}" in the middle does with empty
// segments is said in different ways, so there are two answers.
func matches(template, path string, generous bool) bool {
	if template == "/*" {
		template = "/{**}"
	}
	return matchSegments(strings.Split(template, "/")[1:], strings.Split(path, "/")[1:], generous)
}

func matchSegments(template, path []string, generous bool) bool {
	if len(template) == 0 || len(path) == 0 {
		return len(template) == len(path)
	}
	switch template[0] {
	case "{*}":
		return path[0] != "" && matchSegments(template[1:], path[1:], generous)
	case "{**}":
		if len(template) == 1 {
			return true
		}
		for taken := 1; taken <= len(path); taken++ {
			if !generous && path[taken-1] == "" {
				return false
			}
			if matchSegments(template[1:], path[taken:], generous) {
				return true
			}
		}
		return false
	}
	return template[0] == path[0] && matchSegments(template[1:], path[1:], generous)
}

// The evaluators above are right about requests whose answer is known.
func TestEvaluators(t *testing.T) {
	rule := func(path, methods string, strategies ...string) oldRule {
		return oldRule{path: path, pattern: regexp.MustCompile("^(?:" + path + ")$"), methods: strings.Split(methods, ","), strategies: strategies, service: "main"}
	}
	for name, tc := range map[string]struct {
		rules oldAPIRule
		want  map[string]bool
	}{
		"the first rule counts": {
			oldAPIRule{rule("/admin/.*", "GET", "jwt"), rule("/.*", "GET", "allow")},
			map[string]bool{"GET /admin/x": false, "GET /admin": true, "GET /": true, "POST /admin/x": false, "POST /": false},
		},
		"a route to Oathkeeper is taken for all methods": {
			oldAPIRule{rule("/admin/.*", "GET", "jwt"), rule("/.*", "POST", "allow")},
			map[string]bool{"POST /admin/x": false, "POST /x": true},
		},
		"Oathkeeper looks at all rules": {
			oldAPIRule{rule("/admin/.*", "GET", "jwt"), rule("/.*", "POST", "noop")},
			map[string]bool{"POST /admin/x": true, "GET /admin/x": false},
		},
		"no_auth restricts methods": {
			oldAPIRule{rule("/a", "GET", "no_auth"), rule("/.*", "POST", "allow")},
			map[string]bool{"GET /a": true, "POST /a": true, "OPTIONS /a": false},
		},
		"unauthorized refuses": {oldAPIRule{rule("/a", "GET", "unauthorized"), rule("/.*", "GET", "noop")}, map[string]bool{"GET /a": false, "GET /b": true}},
	} {
		t.Run(name, func(t *testing.T) {
			for request, want := range tc.want {
				method, path, _ := strings.Cut(request, " ")
				assert.Equal(t, want, tc.rules.open(method, path), request)
			}
		})
	}
	after := readNew(parsed(t, `{spec: {rules: [
		{path: /, methods: [GET], jwt: {}, service: {name: a}}, {path: "/a/{*}", methods: [GET, POST], service: {name: a}},
		{path: "/b/{**}", methods: [POST], jwt: {}, service: {name: a}}, {path: /*, methods: [GET], noAuth: true, service: {name: a}}]}}`))
	for request, want := range map[string]string{
		"GET /": "anybody", "GET /a/x": "token", "GET /a": "anybody", "GET /a/x/y": "anybody", "POST /b/": "token", "GET /b/x": "anybody", "PUT /": "nobody",
	} {
		method, path, _ := strings.Cut(request, " ")
		anonymous, token := after.admits(method, path)
		got := "nobody"
		switch {
		case anonymous:
			got = "anybody"
		case token:
			got = "token"
		}
		assert.Equal(t, want, got, request)
	}
}

func parsed(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	return value
}
