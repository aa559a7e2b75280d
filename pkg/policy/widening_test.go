// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

const (
	widenedAsked = `spec.service: Invalid value: "shop/cart": AuthorizationPolicy shop/open lets the ingress gateway in, and the authorizer is only asked about requests whose header Host is exactly "front.example.com": one with a port, such as "front.example.com:443", gets in unasked; name in its rules[].from who may call, without the ingress gateway, or replace it by the annotation extauth-guard.io/internal-callers of the Service [ProtectionWidened]`
	widenedToken = `spec.service: Invalid value: "shop/cart": AuthorizationPolicy shop/open lets the ingress gateway in without a token, so that a jwt is no condition any more; name in its rules[].from who may call, without the ingress gateway, or replace it by the annotation extauth-guard.io/internal-callers of the Service [ProtectionWidened]`
)

func TestProtectionWidened(t *testing.T) {
	const jwt = `jwt: {authentications: [{issuer: "https://a", jwksUri: "https://a/keys"}]}`
	const asked = `extAuth: {authorizers: [corp]}`
	for name, tc := range map[string]struct {
		rules string
		allow istio.Allow
		want  string
	}{
		"everything":                         {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{}, widenedAsked},
		"two rules say it once":              {`[{path: /a, methods: [GET], ` + asked + `}, {path: /b, methods: [GET], ` + asked + `}]`, istio.Allow{}, widenedAsked},
		"the host with a port":               {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{Hosts: []string{"front.example.com:*"}}, widenedAsked},
		"the host as it is asked about":      {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{Hosts: []string{"front.example.com"}}, ""},
		"another method":                     {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{Methods: []string{"POST"}}, ""},
		"all but the methods":                {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{NotMethods: []string{"GET"}}, ""},
		"one of the methods":                 {`[{path: "/*", methods: [GET, POST], ` + asked + `}]`, istio.Allow{NotMethods: []string{"GET"}}, widenedAsked},
		"another path":                       {`[{path: /a, methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/b", "/a/b", "/b*", "*b", "/b/{*}"}}, ""},
		"the path":                           {`[{path: /a, methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/a"}}, widenedAsked},
		"what ends like the path":            {`[{path: /a, methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"*a"}}, widenedAsked},
		"a path that an operator takes":      {`[{path: "/a/{*}", methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/a/1"}}, widenedAsked},
		"a path that an operator leaves":     {`[{path: "/a/{*}", methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/a/1/2"}}, ""},
		"what begins like it":                {`[{path: "/a/{**}", methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/a/b/c*"}}, widenedAsked},
		"what all paths begin like":          {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/health*"}}, widenedAsked},
		"a template":                         {`[{path: "/*", methods: [GET], ` + asked + `}]`, istio.Allow{Paths: []string{"/health/{*}"}}, widenedAsked},
		"all but the paths":                  {`[{path: "/a/{*}", methods: [GET], ` + asked + `}]`, istio.Allow{NotPaths: []string{"/a/*"}}, ""},
		"all but some of the paths":          {`[{path: "/a/{*}", methods: [GET], ` + asked + `}]`, istio.Allow{NotPaths: []string{"/a/b"}}, widenedAsked},
		"all but the path":                   {`[{path: /a, methods: [GET], ` + asked + `}]`, istio.Allow{NotPaths: []string{"/a"}}, ""},
		"an open rule":                       {`[{path: "/*", methods: [GET], noAuth: true}]`, istio.Allow{}, ""},
		"a jwt":                              {`[{path: "/*", methods: [GET], ` + jwt + `}]`, istio.Allow{}, widenedToken},
		"a jwt, whose host needs no port":    {`[{path: "/*", methods: [GET], ` + jwt + `}]`, istio.Allow{Hosts: []string{"front.example.com"}}, widenedToken},
		"a jwt, and a policy of other hosts": {`[{path: "/*", methods: [GET], ` + jwt + `}]`, istio.Allow{Hosts: []string{"other.example.com"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			facts := enforced()
			facts.Widenings = map[types.NamespacedName][]policy.Widening{cart(): {{Object: "AuthorizationPolicy shop/open", Allow: tc.allow}}}
			view := judgedRule(t, tc.rules)
			judged := policy.Judge(view, facts, policy.DefaultSettings())
			var said []string
			for _, one := range judged.Findings {
				if one.Code == policy.ProtectionWidened {
					said = append(said, one.Err.Error())
					assert.Equal(t, policy.Warn, one.Severity)
				}
			}
			if tc.want == "" {
				assert.Empty(t, said)
				assert.NotEqual(t, policy.NotEnforced, judged.Verdict.Verdict)
				return
			}
			assert.Equal(t, []string{tc.want}, said)
			assert.Equal(t, policy.NotEnforced, judged.Verdict.Verdict)
			assert.Equal(t, policy.ProtectionWidened, judged.Verdict.Code)
		})
	}
}

// A request is followed past the authorizer only if it is one that nobody asks about.
func TestTraceOfAWidenedRule(t *testing.T) {
	facts := enforced()
	facts.Widenings = map[types.NamespacedName][]policy.Widening{cart(): {{Object: "AuthorizationPolicy shop/open", Allow: istio.Allow{Methods: []string{"GET"}}}}}
	view := judgedRule(t, `[{path: "/*", methods: [GET, POST], extAuth: {authorizers: [corp]}}]`)
	judged := policy.Judge(view, facts, policy.DefaultSettings())
	for name, tc := range map[string]struct {
		method, host string
		want         policy.Fate
	}{
		"the host as it is":    {"GET", "front.example.com", policy.Asked},
		"a port":               {"GET", "front.example.com:443", policy.LetIn},
		"a port, not let in":   {"POST", "front.example.com:443", policy.Denied},
		"another, not let in":  {"POST", "front.example.com", policy.Asked},
		"a host without route": {"GET", "other.example.com:443", policy.NotRouted},
	} {
		t.Run(name, func(t *testing.T) {
			trace := policy.TraceRequest(view, "", facts, judged, policy.Request{Method: tc.method, Path: "/", Host: tc.host})
			assert.Equal(t, tc.want, trace.Fate, trace.Steps)
		})
	}
}

func TestHostTaken(t *testing.T) {
	const byHand = `spec.hosts[0]: Invalid value: "front.example.com": VirtualService web/raw has this host too, and Kyma puts an APIRule that is later in the state Error, and one that was there first shares the host with routes that its rules do not protect; give each a host of its own, or expose everything by the APIRule [HostTaken]`
	const another = `spec.hosts[0]: Invalid value: "front.example.com": APIRule web/other has this host too, and Kyma puts the later one in the state Error; give each a host of its own, or put the rules into one APIRule [HostTaken]`
	view := judgedRule(t, `[{path: "/*", methods: [GET], extAuth: {authorizers: [corp]}}]`)
	for by, want := range map[string]string{"VirtualService web/raw": byHand, "APIRule web/other": another} {
		facts := enforced()
		facts.HostsTaken = map[string]string{"front.example.com": by}
		judged := policy.Judge(view, facts, policy.DefaultSettings())
		var said []policy.Finding
		for _, one := range judged.Findings {
			if one.Code == policy.HostTaken {
				said = append(said, one)
			}
		}
		if assert.Len(t, said, 1) {
			assert.Equal(t, want, said[0].Err.Error())
			assert.Equal(t, by+" has the host too", said[0].Brief)
			assert.NotContains(t, said[0].Unnamed().Err.Error(), "web/")
		}
		assert.Equal(t, policy.Protected, judged.Verdict.Verdict, "what its own rules take is asked about")
	}
	short := view
	short.Hosts = []string{"front"}
	facts := enforced()
	facts.GatewayDomains = map[string]string{view.Gateway: "example.com"}
	facts.HostsTaken = map[string]string{"front": "APIRule web/other"}
	assert.Contains(t, sentences(policy.Check(short, facts, policy.DefaultSettings())), "warn: "+another)
}
