// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestTraceRequest(t *testing.T) {
	const rules = `[
		{path: /health, methods: [GET], noAuth: true},
		{path: "/orders/{*}", methods: [GET, POST], extAuth: {authorizers: [corp]}},
		{path: /a.b, methods: [GET], extAuth: {authorizers: [corp]}},
		{path: /tokens, methods: [GET], jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}},
		{path: "/files/{**}", methods: [GET], extAuth: {authorizers: [corp]}},
		{path: "/*", methods: [GET, PUT], extAuth: {authorizers: [corp]}},
		{path: /late, methods: [DELETE], extAuth: {authorizers: [other]}}]`
	for name, tc := range map[string]struct {
		request policy.Request
		fate    policy.Fate
		rule    int
		why     string
	}{
		"an open path":                     {policy.Request{Method: "GET", Path: "/health"}, policy.LetIn, 0, `rule 0 says "noAuth: true"`},
		"one segment":                      {policy.Request{Method: "POST", Path: "/orders/7"}, policy.Asked, 1, "corp decides"},
		"no segment":                       {policy.Request{Method: "GET", Path: "/orders/"}, policy.Asked, 5, "corp decides"},
		"two segments":                     {policy.Request{Method: "POST", Path: "/orders/7/8"}, policy.NotRouted, -1, "no rule has this path with the method POST"},
		"any number of segments":           {policy.Request{Method: "GET", Path: "/files/a/b"}, policy.Asked, 4, "corp decides"},
		"a jwt":                            {policy.Request{Method: "GET", Path: "/tokens"}, policy.NeedsToken, 3, "rule 3 has a jwt"},
		"everything else":                  {policy.Request{Method: "GET", Path: "/"}, policy.Asked, 5, "corp decides"},
		"a method that is not listed":      {policy.Request{Method: "PATCH", Path: "/"}, policy.NotRouted, -1, "no rule has this path with the method PATCH"},
		"a path of an earlier rule":        {policy.Request{Method: "PUT", Path: "/health"}, policy.Denied, 5, "rule 0 has this path without the method PUT, and Kyma leaves the path out of what later rules allow"},
		"a dot, and a rule for everything": {policy.Request{Method: "GET", Path: "/aXb"}, policy.Asked, 2, "corp decides"},
		"an authorizer that there is not":  {policy.Request{Method: "DELETE", Path: "/late"}, policy.Denied, 6, `"other" is not registered; every request gets 403`},
		"another host":                     {policy.Request{Method: "GET", Path: "/", Host: "x.example.com"}, policy.NotRouted, -1, `the APIRule does not have the host "x.example.com"`},
		"the host in other letters":        {policy.Request{Method: "GET", Path: "/", Host: "Front.Example.com"}, policy.Asked, 5, "corp decides"},
		"a Host with a port":               {policy.Request{Method: "GET", Path: "/", Host: "front.example.com:443"}, policy.Denied, 5, "the policies name the host without a port, and the request has one"},
		"a Host with a port, open":         {policy.Request{Method: "GET", Path: "/health", Host: "front.example.com:443"}, policy.Denied, 0, "the policies name the host without a port, and the request has one"},
		"a caller inside":                  {policy.Request{Method: "GET", Path: "/", Host: "cart.shop", From: "shop/web"}, policy.Denied, -1, "only the ingress gateway may call; see the annotation internal-callers"},
		"a caller inside who may":          {policy.Request{Method: "GET", Path: "/", Host: "cart.shop", From: "shop/web", Admitted: true}, policy.LetIn, -1, "the caller may call, and nobody is asked"},
		"a caller inside with the host":    {policy.Request{Method: "GET", Path: "/", From: "shop/web", Admitted: true}, policy.Asked, -1, "the authorizer decides"},
	} {
		t.Run(name, func(t *testing.T) {
			view, facts := judgedRule(t, rules), enforced()
			view.Hosts = []string{"front"}
			if tc.request.Host == "" {
				tc.request.Host = "front.example.com"
			}
			judged := policy.Judge(view, facts, policy.DefaultSettings())
			// Two authorizers on one workload block each other; that is not the point here.
			for i, one := range judged.Rules {
				if one.Code == policy.AuthorizerConflict {
					judged.Rules[i] = policy.RuleVerdict{Verdict: policy.Protected}
				}
			}
			got := policy.TraceRequest(view, "example.com", facts, judged, tc.request)
			assert.Equal(t, tc.fate, got.Fate, got)
			assert.Equal(t, tc.rule, got.Rule)
			assert.Equal(t, tc.why, got.Why)
			assert.NotEmpty(t, got.Steps)
		})
	}
}

// What is no operator is a regular expression in a route, and a text in a policy.
func TestTraceOfADot(t *testing.T) {
	view := judgedRule(t, `[{path: /a.b, methods: [GET], extAuth: {authorizers: [corp]}}]`)
	judged := policy.Judge(view, enforced(), policy.DefaultSettings())
	got := policy.TraceRequest(view, "", enforced(), judged, policy.Request{Method: "GET", Host: "front.example.com", Path: "/aXb"})
	assert.Equal(t, policy.Denied, got.Fate)
	assert.Equal(t, "the route takes more paths than the policies of the rule", got.Why)
	got = policy.TraceRequest(view, "", enforced(), judged, policy.Request{Method: "GET", Host: "front.example.com", Path: "/a.b"})
	assert.Equal(t, policy.Asked, got.Fate)
}

func TestTraceWhereNobodyAsks(t *testing.T) {
	facts := enforced()
	facts.Namespaces = map[string]policy.Namespace{"shop": {}}
	view := judgedRule(t, `[{path: "/*", methods: [GET], extAuth: {authorizers: [corp]}}]`)
	request := policy.Request{Method: "GET", Host: "front.example.com", Path: "/"}
	got := policy.TraceRequest(view, "", facts, policy.Judge(view, facts, policy.DefaultSettings()), request)
	assert.Equal(t, policy.LetIn, got.Fate)
	assert.Equal(t, "nobody asks: namespace shop injects no sidecars", got.Why)

	facts.Namespaces = nil
	got = policy.TraceRequest(view, "", facts, policy.Judge(view, facts, policy.DefaultSettings()), request)
	assert.Equal(t, policy.Undecided, got.Fate)

	inside := policy.Request{Method: "GET", Host: "cart.shop", Path: "/", From: "shop/web"}
	for rules, want := range map[string]policy.Fate{
		`[{path: "/*", methods: [GET], jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}}]`: policy.Undecided,
		`[{path: "/*", methods: [GET], noAuth: true, jwt: {}}]`:                                                      policy.Undecided,
		`[{path: "/*", methods: [GET]}]`:                                                                             policy.Undecided,
	} {
		view := judgedRule(t, rules)
		judged := policy.Judge(view, facts, policy.DefaultSettings())
		assert.Equal(t, want, policy.TraceRequest(view, "", facts, judged, request).Fate, rules)
		assert.Equal(t, policy.Undecided, policy.TraceRequest(view, "", facts, judged, inside).Fate, "nobody knows whether there is a sidecar")
		facts := enforced()
		facts.Namespaces = map[string]policy.Namespace{"shop": {}}
		assert.Equal(t, policy.LetIn, policy.TraceRequest(view, "", facts, judged, inside).Fate, "without a sidecar there is no policy")
	}
}
