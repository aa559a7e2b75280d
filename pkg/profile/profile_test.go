// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package profile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

func TestRecognise(t *testing.T) {
	cases := map[string]struct{ service, prefix, want string }{
		"nothing is known":                        {"corp.auth.svc.cluster.local", "/verify?original=", ""},
		"oauth2-proxy by its Service":             {"oauth2-proxy.oauth2-proxy.svc.cluster.local", "", "oauth2-proxy"},
		"oauth2-proxy of a release":               {"custom-oauth2-proxy.auth.svc.cluster.local", "", "oauth2-proxy"},
		"the Service may name its namespace":      {"auth/authelia.auth.svc.cluster.local", "", "authelia"},
		"Authelia by the endpoint":                {"sso.auth.svc.cluster.local", "/api/authz/ext-authz/", "authelia"},
		"Authelia by an endpoint of another name": {"sso.auth.svc.cluster.local", "/api/authz/kyma", "authelia"},
		"the outpost by its Service":              {"ak-outpost-apps.sso.svc.cluster.local", "/", "authentik"},
		"the outpost in authentik's own server":   {"authentik-server.sso.svc.cluster.local", "", "authentik"},
		"the outpost by the endpoint":             {"sso.auth.svc.cluster.local", "/outpost.goauthentik.io/auth/envoy", "authentik"},
		"Pomerium":                                {"pomerium-authorize.pomerium.svc.cluster.local", "/", "pomerium"},
		"the endpoint counts more than the name":  {"oauth2-proxy.auth.svc.cluster.local", "/api/authz/ext-authz/", "authelia"},
		"only whole words count":                  {"autheliax.auth.svc.cluster.local", "", ""},
		"a namespace is no product":               {"sso.authelia.svc.cluster.local", "", ""},
		"nothing at all":                          {"", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, found := profile.Recognise(tc.service, tc.prefix)
			assert.Equal(t, tc.want, got.Name)
			assert.Equal(t, tc.want != "", found)
		})
	}
}

// What a profile prints has every header that the profile requires, and is recognised.
func TestEntriesFitTheirProfiles(t *testing.T) {
	for _, name := range profile.Names() {
		form, found := profile.Find(name)
		require.True(t, found)
		assert.True(t, strings.HasPrefix(form.Source, "https://"), name)
		entry := form.Entry("sso", "sso.auth.svc.cluster.local", form.Port, "5s")
		if form.GRPCOnly {
			assert.Nil(t, entry, name)
			continue
		}
		assert.NotZero(t, form.Port, name)
		assert.True(t, strings.HasPrefix(form.PathPrefix, form.Endpoint), name)
		check := entry["headers"].(map[string]any)["inCheck"].(map[string]any)
		add, _ := check["add"].(map[string]any)
		for _, required := range form.Requires {
			_, added := add[required.Header]
			assert.True(t, added || contains(check["include"], required.Header), "%s lacks %s", name, required.Header)
		}
	}
	_, found := profile.Find("keycloak")
	assert.False(t, found)
}

func contains(list any, text string) bool {
	for _, one := range list.([]any) {
		if one == text {
			return true
		}
	}
	return false
}

// The bootstrap job registers these two.
func TestEntriesOfOAuth2Proxy(t *testing.T) {
	tokens := map[string]any{
		"name": "oauth2-proxy", "service": "o.o.svc.cluster.local", "port": int64(80), "pathPrefix": "/verify?original=", "timeout": "5s",
		"headers": map[string]any{
			"inCheck":      map[string]any{"include": []any{"authorization", "x-forwarded-for"}},
			"toDownstream": map[string]any{"onDeny": []any{"content-type"}},
		},
	}
	assert.Empty(t, cmp.Diff(tokens, profile.OAuth2ProxyTokens().Entry("oauth2-proxy", "o.o.svc.cluster.local", 80, "5s")))
	signIn := map[string]any{
		"name": "oauth2-proxy", "service": "o.o.svc.cluster.local", "port": int64(80), "pathPrefix": "/verify?rd=&original=", "timeout": "5s",
		"headers": map[string]any{
			"inCheck": map[string]any{
				"include": []any{"accept", "authorization", "cookie", "x-forwarded-for"},
				"add":     map[string]any{"x-forwarded-uri": "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%"},
			},
			"toUpstream": map[string]any{"onAllow": []any{
				"authorization", "x-auth-request-user", "x-auth-request-email", "x-auth-request-groups", "x-auth-request-preferred-username", "x-auth-request-access-token",
			}},
			"toDownstream": map[string]any{"onAllow": []any{"set-cookie"}, "onDeny": []any{"content-type", "set-cookie"}},
		},
	}
	assert.Empty(t, cmp.Diff(signIn, profile.OAuth2ProxySignIn().Entry("oauth2-proxy", "o.o.svc.cluster.local", 80, "5s")))
}
