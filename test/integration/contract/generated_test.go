// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"fmt"
	"math/rand/v2"
)

// generate returns the APIRule of a number: one that is right, with some faults of
// the kinds that people make. Nothing of it is shared with another one.
func generate(number int) map[string]any {
	g := generator{rand.New(rand.NewPCG(seed, uint64(number)))} //nolint:gosec // the same APIRules every time
	name := fmt.Sprintf("generated-%d", number)
	metadata := map[string]any{"name": name, "namespace": "shop"}
	spec := map[string]any{
		"hosts":   []any{name + ".example.com"},
		"gateway": "kyma-system/kyma-gateway",
		"service": map[string]any{"name": name, "port": int64(80)},
	}
	var rules []any
	for i := range 1 + g.IntN(3) {
		rules = append(rules, g.rule(i))
	}
	spec["rules"] = rules
	object := map[string]any{"apiVersion": "gateway.kyma-project.io/" + pick(g, "v2", "v2", "v2", "v2alpha1"), "kind": "APIRule", "metadata": metadata, "spec": spec}
	g.annotate(metadata)
	for range g.IntN(3) {
		g.spoil(object, metadata, spec, rules[g.IntN(len(rules))].(map[string]any))
	}
	return object
}

type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// rule returns a rule that is right, or open, which only injection makes right.
func (g generator) rule(number int) map[string]any {
	rule := map[string]any{
		"path":    fmt.Sprintf(pick(g, "/%d", "/%d/{**}", "/a/{*}/%d", "/%d/%%20x"), number),
		"methods": pick(g, []any{"GET"}, []any{"GET", "POST"}, []any{"HEAD", "OPTIONS", "TRACE"}),
	}
	tokens := map[string]any{"authentications": []any{map[string]any{"issuer": "https://idp.example.com", "jwksUri": "https://idp.example.com/keys"}}}
	switch g.IntN(5) {
	case 0:
		rule["noAuth"] = true
	case 1:
		rule["jwt"] = tokens
	case 2, 3:
		rule["extAuth"] = map[string]any{"authorizers": []any{"oauth2-proxy"}}
	}
	if g.IntN(8) == 0 {
		rule["timeout"] = int64(30)
	}
	return rule
}

// annotate asks for injection, or tries to.
func (g generator) annotate(metadata map[string]any) {
	const prefix = "extauth-guard.io/"
	annotations := map[string]any{"example.com/note": "text"}
	switch g.IntN(8) {
	case 0, 1, 2:
		annotations[prefix+"inject"] = "true"
	case 3:
		annotations[prefix+"authorizers"] = pick(g, "oauth2-proxy", "corp", "oauth2-prox", "oauth2-proxy,corp")
	case 4:
		annotations[prefix+"inject"] = "true"
		annotations[prefix+"replace"] = pick(g, "noAuth", "jwt", "noAuth,jwt", "none")
	case 5:
		annotations[prefix+pick(g, "inject", "injekt", "authorizers")] = pick(g, "yes", "false", "", "a,,b", "Corp")
	}
	metadata["annotations"] = annotations
}

// spoil makes a mistake.
func (g generator) spoil(object, metadata, spec, rule map[string]any) {
	service, exists := spec["service"].(map[string]any)
	if !exists {
		service = map[string]any{} // an earlier mistake
	}
	annotations := metadata["annotations"].(map[string]any)
	mistakes := []func(){
		func() { rule["path"] = pick[any](g, "/.*", "", "x", "/a b", "/*/x", "/{x}", "/a/{***}", int64(7), nil) },
		func() { rule["methods"] = pick[any](g, []any{}, []any{"get"}, "GET", []any{"GET", int64(1)}, nil) },
		func() { rule["noAuth"] = pick[any](g, true, false, "true", nil) },
		func() {
			rule["extAuth"] = pick[any](g, nil, map[string]any{}, map[string]any{"authorizers": []any{}}, map[string]any{"authorizers": "corp"}, "corp")
		},
		func() {
			rule["extAuth"] = map[string]any{"authorizers": pick(g, []any{"corp"}, []any{"oauth2-poxy"}, []any{"oauth2-proxy", "corp"}, []any{""})}
			delete(rule, "jwt")
			delete(rule, "noAuth")
		},
		func() {
			rule["jwt"] = pick[any](g, map[string]any{}, map[string]any{"authentications": []any{map[string]any{"issuer": "x"}}}, []any{})
		},
		func() { rule["accessStrategies"] = []any{map[string]any{"handler": "noop"}} },
		func() {
			rule[pick(g, "extauth", "noauth", "method")] = pick[any](g, true, "x", map[string]any{"a": []any{}})
		},
		func() { rule["timeout"] = pick[any](g, int64(0), int64(3901), "30s", 1.5) },
		func() {
			rule["service"] = pick[any](g, map[string]any{"name": "other"}, map[string]any{"name": "other", "port": "80"}, map[string]any{"name": "other", "namespace": "Auth", "port": int64(80)})
		},
		func() {
			rule["request"] = pick[any](g, map[string]any{"headers": map[string]any{"a": int64(1)}}, map[string]any{"header": map[string]any{}})
		},
		func() {
			spec["hosts"] = pick[any](g, []any{}, []any{"A.example.com"}, []any{"*"}, []any{"a.example.com", "b.example.com"}, []any{"a"}, []any{"a.b"}, "a.example.com", nil)
		},
		func() { spec["host"] = "a.example.com" },
		func() {
			spec["gateway"] = pick[any](g, "kyma-gateway", "a.b.svc.cluster.local", "A/b", "", nil, int64(1))
		},
		func() {
			spec["corsPolicy"] = pick[any](g, map[string]any{"maxAge": "10m"}, map[string]any{"maxAge": int64(0)}, map[string]any{"allowOrigins": []any{"*"}}, map[string]any{"allowOrigin": []any{}})
		},
		func() { service["port"] = pick[any](g, int64(0), int64(70000), "80", nil, 80.0) },
		func() { delete(service, pick(g, "name", "port")) },
		func() { service[pick(g, "host", "targetPort")] = pick[any](g, "x", int64(80)) },
		func() { spec["rules"] = pick[any](g, []any{}, map[string]any{}, nil) },
		func() { delete(spec, pick(g, "hosts", "gateway", "service", "rules")) },
		func() { object[pick(g, "specs", "data")] = map[string]any{} },
		func() { delete(object, "spec") },
		func() { metadata["name"] = pick[any](g, "Upper", "under_score", "", "a..b") },
		func() { metadata[pick(g, "annotation", "lables")] = map[string]any{"a": "b"} },
		func() { annotations["example.com/flag"] = pick[any](g, true, int64(1), 1.5) },
		func() { annotations["not a key"] = "x" },
		func() {
			metadata["labels"] = pick[any](g, map[string]any{"app": "a b"}, map[string]any{"app": true}, map[string]any{"app": "ok"})
		},
	}
	mistakes[g.IntN(len(mistakes))]()
}
