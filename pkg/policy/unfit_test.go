// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

func TestEntriesThatDoNotFit(t *testing.T) {
	const at = "warn: spec.config.authorizers[0]."
	entry := func(service, prefix string, include, add []string) istio.Authorizer {
		return istio.Authorizer{Name: "sso", Service: service + ".auth.svc.cluster.local", Port: 80, PathPrefix: prefix, Include: include, Add: add}
	}
	all := []string{"Cookie", "authorization"}
	const elsewhere = `; elsewhere it answers with pages of its own, and one with 200 lets the request in; set pathPrefix to `
	const prints = `; "kubectl extauth register --profile `
	cases := map[string]struct {
		entry istio.Authorizer
		want  []string
	}{
		"an authorizer that nobody knows":       {entry("corp", "/anything", nil, nil), nil},
		"Authelia as its guide says":            {entry("authelia", "/api/authz/ext-authz/", all, []string{"X-Forwarded-Proto"}), nil},
		"a part of a header's name is enough":   {entry("authelia", "/api/authz/ext-authz/", []string{"coo*", "x-forwarded-*"}, nil), nil},
		"authentik as its guide says":           {entry("ak-outpost-apps", "/outpost.goauthentik.io/auth/envoy", all, nil), nil},
		"oauth2-proxy at any path but its own":  {entry("oauth2-proxy", "/oauth2x?original=", nil, nil), nil},
		"oauth2-proxy with the path behind":     {entry("oauth2-proxy", "/ping", nil, nil), nil},
		"oauth2-proxy without a prefix":         {entry("oauth2-proxy", "", nil, nil), []string{at + `pathPrefix: Invalid value: "sso": without a pathPrefix an oauth2-proxy lets everybody call /ping, /ready, /robots.txt and /oauth2/static/* of every protected host; set it to "/verify?original=" [AuthorizerOpenPaths]`}},
		"oauth2-proxy asked for what is open":   {entry("oauth2-proxy", "/ping?x=", nil, nil), []string{at + `pathPrefix: Invalid value: "/ping?x=": this looks like oauth2-proxy, which does not check a request at its own path /ping; set pathPrefix to "/verify?original=" [AuthorizerUnfit]`}},
		"oauth2-proxy asked for nginx's answer": {entry("oauth2-proxy", "/oauth2/auth?x=", nil, nil), []string{at + `pathPrefix: Invalid value: "/oauth2/auth?x=": this looks like oauth2-proxy, which does not check a request at its own path /oauth2/auth; set pathPrefix to "/verify?original=" [AuthorizerUnfit]`}},
		"Authelia without a prefix":             {entry("authelia", "", all, nil), []string{at + `pathPrefix: Invalid value: "": this looks like Authelia, whose endpoint for Envoy begins with /api/authz/` + elsewhere + `"/api/authz/ext-authz/" [AuthorizerUnfit]`}},
		"authentik at the endpoint of nginx":    {entry("authentik-server", "/outpost.goauthentik.io/auth/nginx", all, nil), []string{at + `pathPrefix: Invalid value: "/outpost.goauthentik.io/auth/nginx": this looks like authentik, whose endpoint for Envoy begins with /outpost.goauthentik.io/auth/envoy` + elsewhere + `"/outpost.goauthentik.io/auth/envoy" [AuthorizerUnfit]`}},
		"Authelia does not get what it needs": {entry("sso", "/api/authz/ext-authz/", []string{"authorization"}, nil), []string{
			at + `headers.inCheck: Invalid value: "x-forwarded-proto": this looks like Authelia, which without x-forwarded-proto takes every request for plain http, which it refuses` + prints + `authelia" prints an entry with every header [AuthorizerUnfit]`,
			at + `headers.inCheck: Invalid value: "cookie": this looks like Authelia, which without cookie does not see who has signed in` + prints + `authelia" prints an entry with every header [AuthorizerUnfit]`,
		}},
		"Pomerium": {entry("pomerium-authorize", "/", nil, nil), []string{at + `service: Invalid value: "pomerium-authorize.auth.svc.cluster.local": Pomerium answers Envoy by gRPC only, and Kyma's Istio CR sets up authorizers by HTTP only, so every request would get 403; put Pomerium in front as a proxy instead, or register an oauth2-proxy with the same identity provider [AuthorizerUnfit]`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, sentences(policy.CheckIstio(nil, cr(tc.entry), policy.IstioFacts{}))))
		})
	}
}

// What register prints is valid, fits, and says who somebody is by headers that are
// known to be such.
func TestEntriesOfTheProfilesFit(t *testing.T) {
	for _, name := range profile.Names() {
		form, _ := profile.Find(name)
		entry := form.Entry("sso", name+".auth.svc.cluster.local", form.Port, "5s")
		if entry == nil {
			assert.NotEmpty(t, policy.RefuseProfile(form))
			continue
		}
		assert.Empty(t, policy.RefuseProfile(form))
		view := istio.Parse(map[string]any{"spec": map[string]any{"config": map[string]any{"authorizers": []any{entry}}}})
		for _, finding := range policy.CheckIstio(nil, &view, policy.IstioFacts{}) {
			assert.Equal(t, policy.IdentityHeaderSpoofable, finding.Code, "%s: %s", name, finding.Err)
			assert.True(t, strings.HasPrefix(finding.Err.Detail, "a client that sends "+form.Upstream[0]), finding.Err)
		}
	}
}

func TestAPIRulesOfEntriesThatDoNotFit(t *testing.T) {
	registry := policy.NewRegistry(*cr(istio.Authorizer{Name: "corp", Service: "authelia.auth.svc.cluster.local", Port: 80}))
	rule := parse(t, "{metadata: {name: cart}, spec: {service: {name: cart, port: 8080}, rules: [{path: /*, methods: [GET], extAuth: {authorizers: [corp]}}]}}")
	var unfit []policy.Finding
	for _, finding := range policy.Check(rule, policy.Facts{Registry: registry}, policy.Settings{}) {
		assert.NotEqual(t, policy.AuthorizerOpenPaths, finding.Code, "it is no oauth2-proxy")
		if finding.Code == policy.AuthorizerUnfit {
			unfit = append(unfit, finding)
		}
	}
	assert.Equal(t, []string{`warn: spec.rules[0].extAuth.authorizers[0]: Invalid value: "corp": its entry in the Istio CR kyma-system/default does not fit: spec.config.authorizers[0].pathPrefix: ` +
		`this looks like Authelia, whose endpoint for Envoy begins with /api/authz/; elsewhere it answers with pages of its own, and one with 200 lets the request in; set pathPrefix to "/api/authz/ext-authz/" [AuthorizerUnfit]`}, sentences(unfit))
	assert.Equal(t, "AuthorizerUnfit: spec.rules[0].extAuth.authorizers[0]: Authelia is asked outside /api/authz/", unfit[0].Warning())
}
