// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestIdentityHeaders(t *testing.T) {
	setting := func(headers ...string) *istio.View {
		entry := good(0, "corp")
		entry.UpstreamOnAllow = headers
		return cr(entry)
	}
	shields := func(hosts []string, headers ...string) []istio.Shield {
		var all []istio.Shield
		for _, header := range headers {
			all = append(all, istio.Shield{Header: header, Hosts: hosts})
		}
		return all
	}
	exposed := func(hosts ...string) func(string) []string {
		return func(authorizer string) []string {
			if authorizer != "corp" {
				return nil
			}
			return hosts
		}
	}
	warned := func(headers, where string) []string {
		return []string{`warn: spec.config.authorizers[0].headers.toUpstream.onAllow: Invalid value: "corp": a client that sends ` + headers +
			` itself is believed whenever the authorizer answers without them, and no AuthorizationPolicy is known that refuses such requests at the ingress gateway` + where +
			`; make one with the action DENY in istio-system, or take the headers out of the list [IdentityHeaderSpoofable]`}
	}
	const user, groups = "x-auth-request-user", "x-auth-request-groups"
	domain := []string{"*.example.com"}
	cases := map[string]struct {
		view  *istio.View
		facts policy.IstioFacts
		want  []string
	}{
		"no headers":                    {setting(), policy.IstioFacts{}, nil},
		"headers of nobody":             {setting("authorization", "x-request-id", "x-forwarded-for"), policy.IstioFacts{}, nil},
		"nobody looked":                 {setting("authorization", user), policy.IstioFacts{}, warned(user, "")},
		"in capitals":                   {setting("X-Auth-Request-User"), policy.IstioFacts{}, warned(user, "")},
		"by their beginning":            {setting("x-forwarded-u*"), policy.IstioFacts{}, warned("x-forwarded-user", "")},
		"by their end":                  {setting("*-groups"), policy.IstioFacts{}, warned(groups+", x-forwarded-groups, remote-groups, x-authentik-groups", "")},
		"shielded":                      {setting(user, groups), policy.IstioFacts{Shields: shields(domain, user, groups)}, nil},
		"one of two is shielded":        {setting(user, groups), policy.IstioFacts{Shields: shields(domain, user)}, warned(groups, "")},
		"shielded for all hosts":        {setting(user), policy.IstioFacts{Shields: shields(nil, user), Hosts: exposed("a.other.org")}, nil},
		"shielded for the hosts in use": {setting(user), policy.IstioFacts{Shields: shields(domain, user), Hosts: exposed("a.example.com", "a.b.example.com")}, nil},
		"a host outside of the shield":  {setting(user), policy.IstioFacts{Shields: shields(domain, user), Hosts: exposed("a.example.com", "a.other.org")}, warned(user, " for a.other.org")},
		"by two shields":                {setting(user), policy.IstioFacts{Shields: append(shields(domain, user), shields([]string{"a.other.org"}, user)...), Hosts: exposed("a.example.com", "a.other.org")}, nil},
		"all that the job shields":      {setting(oauth2proxy.IdentityHeaders()...), policy.IstioFacts{Shields: shields(domain, oauth2proxy.IdentityHeaders()...)}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, sentences(policy.CheckIstio(nil, tc.view, tc.facts))))
			assert.Empty(t, policy.CheckIstio(tc.view, tc.view, tc.facts), "an update that changes nothing says it again")
		})
	}
	t.Run("one more header is told again", func(t *testing.T) {
		before, after := setting(user), setting(user, groups)
		assert.Equal(t, []string{string(policy.IdentityHeaderSpoofable)}, policy.Codes(policy.CheckIstio(before, after, policy.IstioFacts{})))
	})
}
