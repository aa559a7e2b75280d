// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"strings"
)

// scenario is one thing that is measured: a kind of request, in a namespace of
// its own, for which certain webhooks are registered. All are registered and all
// servers run all the time; which of them a request meets depends on its
// namespace alone, so that blocks can take turns.
type scenario struct {
	// name is short, as in the results.
	name  string
	title string
	// rule is one of five rules of the request, a format of its number.
	rule string
	// asks is true if the request has the annotation that asks for injection.
	asks bool
	// update is true for a change of a label of an APIRule that exists.
	update bool
	// large is true for the cluster with many objects.
	large bool
	// server is whose processor time is measured: "noop", "ours" or "".
	server string
	// calls is how many calls of webhooks a request has to cause.
	calls int
	// want is what the answer has to have in it.
	want string
	// real is true if it is also measured with objects that are stored.
	real bool
	// twice is true if it has two blocks in each round.
	twice bool
}

// The rules of requests. A request that compares with another has the same
// rules, because what the schema of a rule costs depends on the rule.
const (
	protected = `{"path":"/%d","methods":["GET","POST"],"extAuth":{"authorizers":["oauth2-proxy"]}}`
	open      = `{"path":"/%d","methods":["GET","POST"]}`
	leftAlone = `{"path":"/%d","methods":["GET","POST"],"noAuth":true}`
)

const (
	noopServer = "noop"
	oursServer = "ours"
)

func scenarios() []scenario {
	const injected = `"extAuth":{"authorizers":["oauth2-proxy"]}`
	return []scenario{
		{name: "a", title: "no webhook", rule: protected, want: injected, real: true, twice: true},
		{name: "a2", title: "no webhook, once more (noise)", rule: protected, want: injected},
		{name: "an", title: "no webhook, rules of n and c", rule: leftAlone, want: `"noAuth":true`, twice: true},
		{name: "n", title: "pair that does nothing", rule: leftAlone, server: noopServer, calls: 2, want: `"noAuth":true`, real: true, twice: true},
		{name: "b", title: "pair, constant patch", rule: open, asks: true, server: noopServer, calls: 2, want: injected, real: true, twice: true},
		{name: "c", title: "ours, nothing to inject", rule: leftAlone, server: oursServer, calls: 2, want: `"noAuth":true`, real: true, twice: true},
		{name: "d", title: "ours, injecting", rule: open, asks: true, server: oursServer, calls: 2, want: injected, real: true, twice: true},
		{name: "v", title: "ours, authorizers given", rule: protected, server: oursServer, calls: 1, want: injected},
		{name: "f", title: "ValidatingAdmissionPolicy only", rule: protected, want: injected},
		{name: "u0", title: "label changed, no webhook", rule: protected, update: true, want: `"bench":"`, twice: true},
		{name: "u", title: "label changed, ours", rule: protected, update: true, server: oursServer, want: `"bench":"`, twice: true},
		{name: "ea", title: "many objects, no webhook", rule: protected, large: true, want: injected, real: true, twice: true},
		{name: "e", title: "many objects, ours, injecting", rule: open, asks: true, large: true, server: oursServer, calls: 2, want: injected, real: true, twice: true},
	}
}

func (s scenario) namespace() string { return "bench-" + s.name }

const apirulePath = "/apis/gateway.kyma-project.io/v2/namespaces/%s/apirules"

// existing is the APIRule that updates change.
const existing = "existing"

// request returns what is sent for the i-th time.
func (s scenario) request(name string, i int, dryRun bool) (method, path, contentType string, body []byte) {
	path = fmt.Sprintf(apirulePath, s.namespace())
	if dryRun {
		defer func() { path += "?dryRun=All" }()
	}
	if s.update {
		path += "/" + existing
		return http.MethodPatch, path, "application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{"bench":"%d"}}}`, i)
	}
	return http.MethodPost, path, "application/json", apirule(s.namespace(), name, "app", s.rule, s.asks)
}

// apirule returns an APIRule with five rules like rule.
func apirule(namespace, name, service, rule string, asks bool) []byte {
	annotations := `{"example.com/team":"shop"}`
	if asks {
		annotations = `{"example.com/team":"shop","extauth-guard.io/inject":"true"}`
	}
	rules := make([]string, 5)
	for i := range rules {
		rules[i] = fmt.Sprintf(rule, i)
	}
	return fmt.Appendf(nil, `{"apiVersion":"gateway.kyma-project.io/v2","kind":"APIRule",`+
		`"metadata":{"namespace":%q,"name":%q,"labels":{"app":%q},"annotations":%s},`+
		`"spec":{"hosts":[%q],"gateway":"kyma-system/kyma-gateway","service":{"name":%q,"port":80},"rules":[%s]}}`,
		namespace, name, service, annotations, service, service, strings.Join(rules, ","))
}

// constantPatch is what an injection into five open rules adds, the annotation
// that records it included.
func constantPatch() []byte {
	var operations, records []string
	for i := range 5 {
		operations = append(operations, fmt.Sprintf(`{"op":"add","path":"/spec/rules/%d/extAuth","value":{"authorizers":["oauth2-proxy"]}}`, i))
		records = append(records, fmt.Sprintf(`{\"rule\":%d,\"authorizers\":[\"oauth2-proxy\"],\"from\":\"APIRule\"}`, i))
	}
	operations = append(operations, `{"op":"add","path":"/metadata/annotations/extauth-guard.io~1injected","value":"[`+strings.Join(records, ",")+`]"}`)
	return []byte("[" + strings.Join(operations, ",") + "]")
}
