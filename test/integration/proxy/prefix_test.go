// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// codePrefix is the pathPrefix of the authorization-code flow.
const codePrefix = "/verify?rd=&original="

// harms are what a pathPrefix does to requests for these paths: who has no session
// is not sent to the login and back to where they were, or who has one is refused.
func harms(t *testing.T, proxy *oauth2proxy.Process, prefix, token string) (open, broken []string) {
	t.Helper()
	for _, path := range []string{
		"/ping", "/ready", "/robots.txt", "/oauth2/static/css/bulma.min.css", "/oauth2/sign_in", "/oauth2/auth", "/oauth2/callback", "/%2e%2e/ping",
		"/a;b", "/a?x=1;y=2", "/a?q=100%", "/100%", "//a", "/a//b", "/a/../b",
		"/a?allowed_groups=x", "/a?y=1&allowed_groups=x", "/a?rd=https://other.example.com/", "/a?y=1&rd=https://other.example.com/",
	} {
		without := askCode(t, proxy, prefix, path, "")
		if without.Allowed {
			open = append(open, path)
		}
		if without.AuthorizerStatus != http.StatusFound || target(t, without) != "https://shop.example.com"+path {
			broken = append(broken, fmt.Sprintf("%s without a session: %d", path, without.AuthorizerStatus))
		}
		if with := askCode(t, proxy, prefix, path, "Bearer "+token); !with.Allowed {
			broken = append(broken, fmt.Sprintf("%s with one: %d", path, with.AuthorizerStatus))
		}
	}
	return open, broken
}

// TestThePathPrefixDoesTheLeastHarm is the table by which the prefix was chosen. What
// remains is in docs/operations.md.
func TestThePathPrefixDoesTheLeastHarm(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	metadata, err := oidc.Discover(t.Context(), client, provider.Issuer())
	require.NoError(t, err)
	token, err := oidc.ClientCredentials(t.Context(), client, metadata, oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)})
	require.NoError(t, err)
	// A bearer token stands for a session here.
	proxy := oauth2proxy.Start(t, oauth2proxy.Options{
		Args: append(codeArguments(provider.Issuer()), "--skip-jwt-bearer-tokens=true"), Env: environment(),
	})
	open, chosen := harms(t, proxy, codePrefix, token.Access.Reveal())
	assert.Empty(t, open)
	assert.Equal(t, []string{
		"/a;b without a session: 400", "/a?x=1;y=2 without a session: 400", "/a?q=100% without a session: 400", "/100% without a session: 400",
		"/a?y=1&allowed_groups=x with one: 403",
	}, chosen, "what docs/operations.md says remains")
	for _, prefix := range []string{"", "/verify", "/verify/", "/verify?original="} {
		open, broken := harms(t, proxy, prefix, token.Access.Reveal())
		t.Logf("pathPrefix %q: open %d, broken %d: %s", prefix, len(open), len(broken), strings.Join(broken, ", "))
		assert.Greater(t, len(open)+len(broken), len(chosen), prefix)
		assert.Equal(t, prefix == "", slices.Contains(open, "/ping"))
	}
}

// TestTwoTabsSignIn has a browser without a session ask for two things at once: each
// answer sets a cookie of its own.
func TestTwoTabsSignIn(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	proxy := oauth2proxy.Start(t, oauth2proxy.Options{Args: codeArguments(provider.Issuer()), Env: environment()})
	names := map[string]bool{}
	for _, path := range []string{"/tab1", "/tab2"} {
		answer := http.Response{Header: askCode(t, proxy, codePrefix, path, "").Downstream}
		for _, cookie := range answer.Cookies() {
			names[cookie.Name] = true
		}
	}
	assert.Len(t, names, 2, "the second sign-in replaced the cookie of the first")
}

// TestAScriptGets401 has what fetch and XMLHttpRequest send by default in most
// applications: a redirect to another origin is of no use to them.
func TestAScriptGets401(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	proxy := oauth2proxy.Start(t, oauth2proxy.Options{Args: codeArguments(provider.Issuer()), Env: environment()})
	for accept, want := range map[string]int{"application/json": http.StatusUnauthorized, "text/html": http.StatusFound} {
		verdict := ask(t, proxy, codePrefix, extauthz.Request{
			Method: http.MethodGet, Authority: "shop.example.com", Path: "/api", Header: http.Header{"Accept": {accept}},
		})
		assert.Equal(t, want, verdict.Status, accept)
	}
}

// target is where a sign-in would end, as the state of the redirect says.
func target(t *testing.T, v extauthz.Verdict) string {
	t.Helper()
	location, err := url.Parse(v.Downstream.Get("Location"))
	require.NoError(t, err)
	_, encoded, _ := strings.Cut(location.Query().Get("state"), ":")
	to, err := url.QueryUnescape(encoded)
	require.NoError(t, err)
	return to
}

func askCode(t *testing.T, p *oauth2proxy.Process, prefix, path, authorization string) extauthz.Verdict {
	t.Helper()
	r := extauthz.Request{Method: http.MethodGet, Authority: "shop.example.com", Path: path, Header: http.Header{}}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return ask(t, p, prefix, r)
}

// ask asks as Envoy would with the entry of the authorization-code flow.
func ask(t *testing.T, p *oauth2proxy.Process, prefix string, r extauthz.Request) extauthz.Verdict {
	t.Helper()
	v, err := extauthz.Asker{Dial: p.Dial}.Ask(t.Context(), extauthz.Authorizer{
		Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: prefix, Timeout: 10 * time.Second,
		IncludeHeaders:   []string{"accept", "authorization", "cookie", "x-forwarded-for"},
		AddHeaders:       map[string]string{"x-forwarded-uri": "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%"},
		DownstreamOnDeny: []string{"content-type", "set-cookie"},
	}, r)
	require.NoError(t, err)
	return v
}

// codeArguments are those that the job sets for the authorization-code flow; its own
// tests run what it really sets.
func codeArguments(issuer string) []string {
	return []string{
		"--provider=oidc", "--oidc-issuer-url=" + issuer, "--scope=openid email", "--email-domain=*", "--upstream=static://200",
		"--cookie-secure=true", "--cookie-samesite=lax", "--cookie-domain=example.com", "--whitelist-domain=*.example.com:*",
		"--cookie-csrf-per-request=true", "--cookie-csrf-per-request-limit=16", "--cookie-refresh=1h", "--cookie-expire=4h",
		"--redirect-url=https://oauth2-proxy.example.com/oauth2/callback", "--code-challenge-method=S256", "--pass-access-token=true",
		"--reverse-proxy=true", "--trusted-proxy-ip=127.0.0.1/32", "--skip-provider-button=true", "--set-xauthrequest=true",
		"--set-authorization-header=true", "--request-logging=false",
	}
}
