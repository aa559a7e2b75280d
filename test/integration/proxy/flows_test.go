// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/browser"
	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

const (
	shop     = "https://shop.example.com"
	blog     = "https://blog.example.com"
	ownHost  = "oauth2-proxy.example.com"
	callback = "https://" + ownHost + "/oauth2/callback"
)

// gateway plays ingress gateway, sidecar and application for every host of
// example.com: it asks one replica of the proxy about each request, and leads the
// proxy's own host to another. An application answers with who the proxy says is there.
type gateway struct {
	checks, own    *oauth2proxy.Process
	swapped        atomic.Bool
	authorizer     extauthz.Authorizer
	checked, owned atomic.Int64
	server         *httptest.Server
}

func newGateway(t *testing.T, prefix string, args []string) *gateway {
	t.Helper()
	g := &gateway{authorizer: extauthz.Authorizer{
		Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: prefix, Timeout: 10 * time.Second,
		IncludeHeaders:    []string{"accept", "authorization", "cookie", "x-forwarded-for"},
		AddHeaders:        map[string]string{"x-forwarded-uri": "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%"},
		UpstreamOnAllow:   []string{"x-auth-request-*"},
		DownstreamOnAllow: []string{"set-cookie"},
		DownstreamOnDeny:  []string{"content-type", "set-cookie"},
	}}
	g.checks = oauth2proxy.Start(t, oauth2proxy.Options{Args: args, Env: environment()})
	g.own = oauth2proxy.Start(t, oauth2proxy.Options{Args: args, Env: environment()})
	g.server = httptest.NewTLSServer(g)
	t.Cleanup(g.server.Close)
	return g
}

// ServeHTTP answers one request of a browser.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host == ownHost {
		g.owned.Add(1)
		(&httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(&url.URL{Scheme: "http", Host: g.own.Address()})
			out.Out.Host = r.Host
		}}).ServeHTTP(w, r)
		return
	}
	g.checked.Add(1)
	replica := g.checks
	if g.swapped.Load() {
		replica = g.own
	}
	verdict, err := extauthz.Asker{Dial: replica.Dial}.Ask(r.Context(), g.authorizer,
		extauthz.Request{Method: r.Method, Authority: r.Host, Path: r.RequestURI, Header: r.Header})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	maps.Copy(w.Header(), verdict.Downstream)
	w.WriteHeader(verdict.Status)
	if verdict.Allowed {
		_, _ = io.WriteString(w, "hello "+verdict.Upstream.Get("X-Auth-Request-Email"))
		return
	}
	_, _ = w.Write(verdict.Body)
}

// browser returns one that finds every host of example.com here.
func (g *gateway) browser(t *testing.T) *browser.Browser {
	t.Helper()
	b, err := browser.New(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ".example.com:443") {
			address = g.server.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
	require.NoError(t, err)
	return b
}

// TestAPersonSignsIn goes through the authorization-code flow with two replicas of the
// proxy: one is asked about requests and begins sign-ins, the other one ends them.
func TestAPersonSignsIn(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}, Redirects: []string{callback}})
	g := newGateway(t, codePrefix, codeArguments(provider.Issuer()))
	open := func(t *testing.T, b *browser.Browser, address string) browser.Page {
		t.Helper()
		page, err := b.Open(t.Context(), address)
		require.NoError(t, err)
		return page
	}
	signIn := func(t *testing.T, b *browser.Browser, form browser.Page) browser.Page {
		t.Helper()
		require.Contains(t, form.URL.String(), provider.Issuer()+"/login", "%d %s", form.Status, form.Body)
		page, err := b.SignIn(t.Context(), form, "ann")
		require.NoError(t, err)
		return page
	}
	fetch := func(t *testing.T, b *browser.Browser, address string) browser.Page {
		t.Helper()
		page, err := b.Fetch(t.Context(), address, nil)
		require.NoError(t, err)
		return page
	}
	in := func(t *testing.T, page browser.Page, address string) {
		t.Helper()
		assert.Equal(t, http.StatusOK, page.Status, page.Body)
		assert.Equal(t, "hello ann@example.com", page.Body)
		assert.Equal(t, address, page.URL.String())
	}

	t.Run("and lands where it began, on all hosts, until it signs out", func(t *testing.T) {
		b := g.browser(t)
		const address = shop + "/orders?id=7&x=y"
		in(t, signIn(t, b, open(t, b, address)), address)
		assert.Positive(t, g.checked.Load(), "the replica that is asked")
		assert.Positive(t, g.owned.Load(), "the replica that the issuer leads back to")
		in(t, open(t, b, blog+"/"), blog+"/")
		assert.Equal(t, http.StatusOK, fetch(t, b, shop+"/api").Status)

		out := open(t, b, "https://"+ownHost+"/oauth2/sign_out?rd="+url.QueryEscape(shop+"/"))
		assert.Contains(t, out.URL.String(), provider.Issuer()+"/login", "nobody is signed in any more")
		assert.Equal(t, http.StatusUnauthorized, fetch(t, b, blog+"/api").Status)
	})
	t.Run("in two tabs at once", func(t *testing.T) {
		b := g.browser(t)
		first, second := open(t, b, shop+"/tab1"), open(t, b, blog+"/tab2")
		in(t, signIn(t, b, first), shop+"/tab1")
		in(t, signIn(t, b, second), blog+"/tab2")
	})
	t.Run("from addresses with ; and %", func(t *testing.T) {
		for _, address := range []string{shop + "/a%3Bb/100%25?q=100%25&r=1%3B2", shop + "/a%2Fb?rd=" + url.QueryEscape(blog+"/elsewhere")} {
			b := g.browser(t)
			in(t, signIn(t, b, open(t, b, address)), address)
		}
		b := g.browser(t)
		for _, address := range []string{shop + "/a;b", shop + "/a?x=1;y=2", shop + "/a?q=100%"} {
			assert.Equal(t, http.StatusBadRequest, open(t, b, address).Status, "%s, what docs/operations.md says remains", address)
		}
		signIn(t, b, open(t, b, shop+"/"))
		for _, address := range []string{shop + "/a;b", shop + "/a?x=1;y=2", shop + "/a?q=100%"} {
			in(t, open(t, b, address), address)
		}
	})
	t.Run("and again after four hours", func(t *testing.T) {
		b := g.browser(t)
		in(t, signIn(t, b, open(t, b, shop+"/")), shop+"/")
		require.NoError(t, b.Age(shop, "example.com", cookieSecret, time.Minute))
		in(t, open(t, b, shop+"/"), shop+"/")
		require.NoError(t, b.Age(shop, "example.com", cookieSecret, 4*time.Hour))
		assert.Equal(t, http.StatusUnauthorized, fetch(t, b, shop+"/api").Status)
		in(t, signIn(t, b, open(t, b, shop+"/again")), shop+"/again")
	})
	t.Run("and a script gets 401 without a cookie of a sign-in", func(t *testing.T) {
		b := g.browser(t)
		page := fetch(t, b, shop+"/api")
		assert.Equal(t, http.StatusUnauthorized, page.Status)
		assert.Empty(t, page.Header.Get("Location"))
		cookies, err := b.Cookies(shop)
		require.NoError(t, err)
		assert.Empty(t, cookies)
	})
}

// TestAMachineBringsAToken goes through the client-credentials flow with two replicas,
// with what a browser sends and keeps.
func TestAMachineBringsAToken(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	metadata, err := oidc.Discover(t.Context(), client, provider.Issuer())
	require.NoError(t, err)
	token, err := oidc.ClientCredentials(t.Context(), client, metadata, oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)})
	require.NoError(t, err)
	g := newGateway(t, "/verify?original=", arguments(provider.Issuer()))
	b := g.browser(t)
	for _, path := range []string{"/", "/a;b", "/a?x=1;y=2", "/a?q=100%", "/ping"} {
		page, err := b.Open(t.Context(), shop+path)
		require.NoError(t, err)
		assert.Equal(t, http.StatusUnauthorized, page.Status, path)
		assert.Equal(t, shop+path, page.URL.String(), "nobody is led to a login")
		for _, swapped := range []bool{false, true} { // the token is good at either replica
			g.swapped.Store(swapped)
			page, err = b.Fetch(t.Context(), shop+path, http.Header{"Authorization": {"Bearer " + token.Access.Reveal()}})
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, page.Status, path)
		}
	}
	cookies, err := b.Cookies(shop)
	require.NoError(t, err)
	assert.Empty(t, cookies)
}
