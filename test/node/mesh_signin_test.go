// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/browser"
)

// The hosts of two applications, and the proxy's own.
const (
	demoURL = "https://demo.example.com"
	blogURL = "https://blog.example.com"
	ownHost = "oauth2-proxy.example.com"
)

// authorizationCode has the job change the flow, and waits until the gateway sends a
// browser to the issuer.
func (c *cluster) authorizationCode(t *testing.T) {
	changed := c.withBootstrap(t, c.ownValues(t))
	config := changed["bootstrap"].(map[string]any)["config"].(map[string]any)
	config["flow"], config["proxy"].(map[string]any)["emailDomains"] = "AuthorizationCode", []any{"*"}
	newHelm(t, c).upgrade(t, changed)
	c.registered(t)
	blog := apirule("blog", map[string]any{"extauth-guard.io/inject": "true"})
	require.NoError(t, unstructured.SetNestedField(blog.Object, "open", "spec", "service", "name"))
	_, err := c.untyped.Resource(apirules).Namespace(namespace).Create(t.Context(), blog, metav1.CreateOptions{})
	require.NoError(t, err)
	c.apiruleReady(t, "blog")
	eventually(t, "the proxy's own host", func(ctx context.Context) error {
		return c.status(ctx, request{host: ownHost, path: "/ping"}, http.StatusOK)
	})
	// A sidecar that still has the entry of the other flow asks for a login, too, but
	// forgets where the browser wanted to go.
	for _, address := range []string{demoURL + "/", blogURL + "/"} {
		eventually(t, "a login for "+address, func(ctx context.Context) error {
			b := c.browser(ctx, t)
			page, err := b.Open(ctx, address)
			if err == nil && c.atLogin(page) {
				page, err = b.SignIn(ctx, page, "ann")
			}
			if err == nil && (page.Status != http.StatusOK || page.URL.String() != address) {
				err = fmt.Errorf("%s: %d %s", page.URL, page.Status, page.Body)
			}
			return err
		})
	}
	// Connections between gateway and sidecar that are older than the last change keep the
	// policies from before; each worker of the gateway has some.
	eventually(t, "old connections to be gone", func(ctx context.Context) error {
		for range 60 {
			for _, host := range []string{"demo.example.com", "blog.example.com"} {
				if err := c.status(ctx, request{host: host, header: http.Header{"Accept": {"application/json"}}}, http.StatusUnauthorized); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// browser returns one without cookies, which finds every host of example.com at the
// ingress gateway.
func (c *cluster) browser(ctx context.Context, t *testing.T) *browser.Browser {
	t.Helper()
	gateway, err := c.typed.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	require.NoError(t, err)
	b, err := browser.New(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ".example.com:443") {
			address = net.JoinHostPort(gateway.Spec.ClusterIP, "443")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
	require.NoError(t, err)
	return b
}

func (c *cluster) atLogin(page browser.Page) bool {
	return strings.HasPrefix(page.URL.String(), c.issuer.Issuer()+"/login")
}

// open asks for a page, and signs in where that is asked for.
func (c *cluster) open(t *testing.T, b *browser.Browser, address string) (page browser.Page, signedIn bool) {
	t.Helper()
	page, err := b.Open(t.Context(), address)
	require.NoError(t, err)
	if !c.atLogin(page) {
		return page, false
	}
	page, err = b.SignIn(t.Context(), page, "ann")
	require.NoError(t, err)
	return page, true
}

func (c *cluster) fetch(t *testing.T, b *browser.Browser, address string, header http.Header) browser.Page {
	t.Helper()
	page, err := b.Fetch(t.Context(), address, header)
	require.NoError(t, err)
	return page
}

// reached insists that an application got a request of ann.
func reached(t *testing.T, page browser.Page, address string) {
	t.Helper()
	assert.Equal(t, http.StatusOK, page.Status, page.Body)
	assert.Equal(t, address, page.URL.String())
	assert.Contains(t, page.Body, "the application got GET")
	assert.Contains(t, page.Body, "X-Auth-Request-Email: ann@example.com")
}

// people sign in through the gateway.
func (c *cluster) people(t *testing.T) {
	t.Run("landing where they began, on all hosts, until they sign out", func(t *testing.T) {
		b := c.browser(t.Context(), t)
		const address = demoURL + "/orders%3B?id=7&q=100%25"
		page, signedIn := c.open(t, b, address)
		assert.True(t, signedIn)
		reached(t, page, address)
		page, signedIn = c.open(t, b, blogURL+"/")
		assert.False(t, signedIn, "the cookie is for both hosts")
		reached(t, page, blogURL+"/")
		assert.Equal(t, http.StatusOK, c.fetch(t, b, demoURL+"/api", nil).Status)
		for _, odd := range []string{"/a;b", "/a?x=1;y=2", "/a?q=100%"} {
			page, _ = c.open(t, b, demoURL+odd)
			reached(t, page, demoURL+odd)
		}
		out, err := b.Open(t.Context(), "https://"+ownHost+"/oauth2/sign_out?rd="+url.QueryEscape(demoURL+"/"))
		require.NoError(t, err)
		assert.True(t, c.atLogin(out), "%s", out.URL)
		assert.Equal(t, http.StatusUnauthorized, c.fetch(t, b, blogURL+"/api", nil).Status)
	})
	t.Run("in two tabs at once", func(t *testing.T) {
		b := c.browser(t.Context(), t)
		first, err := b.Open(t.Context(), demoURL+"/tab1")
		require.NoError(t, err)
		second, err := b.Open(t.Context(), blogURL+"/tab2")
		require.NoError(t, err)
		for address, tab := range map[string]browser.Page{demoURL + "/tab1": first, blogURL + "/tab2": second} {
			page, err := b.SignIn(t.Context(), tab, "ann")
			require.NoError(t, err)
			reached(t, page, address)
		}
	})
	t.Run("again after four hours", func(t *testing.T) {
		secret, err := c.typed.CoreV1().Secrets("oauth2-proxy").Get(t.Context(), "oauth2-proxy-credentials", metav1.GetOptions{})
		require.NoError(t, err)
		b := c.browser(t.Context(), t)
		c.open(t, b, demoURL+"/")
		require.NoError(t, b.Age(demoURL, "example.com", string(secret.Data["cookie-secret"]), time.Minute))
		assert.Equal(t, http.StatusOK, c.fetch(t, b, demoURL+"/api", nil).Status)
		require.NoError(t, b.Age(demoURL, "example.com", string(secret.Data["cookie-secret"]), 4*time.Hour))
		assert.Equal(t, http.StatusUnauthorized, c.fetch(t, b, demoURL+"/api", nil).Status)
		page, signedIn := c.open(t, b, demoURL+"/")
		assert.True(t, signedIn)
		reached(t, page, demoURL+"/")
	})
	t.Run("and scripts get 401", func(t *testing.T) {
		page := c.fetch(t, c.browser(t.Context(), t), demoURL+"/api", nil)
		assert.Equal(t, http.StatusUnauthorized, page.Status)
		assert.Empty(t, page.Header.Get("Location"))
	})
}

// shield has clients say who they are by the headers of the proxy: the gateway refuses
// them, whether they are signed in or not.
func (c *cluster) shield(t *testing.T) {
	b := c.browser(t.Context(), t)
	page, _ := c.open(t, b, demoURL+"/")
	reached(t, page, demoURL+"/")
	for _, header := range oauth2proxy.IdentityHeaders() {
		for _, client := range []*browser.Browser{b, c.browser(t.Context(), t)} {
			page := c.fetch(t, client, demoURL+"/", http.Header{http.CanonicalHeaderKey(header): {"admin"}})
			assert.Equal(t, http.StatusForbidden, page.Status, header)
			assert.Equal(t, "RBAC: access denied", page.Body, header)
		}
	}
	page = c.fetch(t, b, demoURL+"/", http.Header{"X-Request-Name": {"admin"}})
	assert.Equal(t, http.StatusOK, page.Status)
	assert.Contains(t, page.Body, "X-Request-Name: admin")
}
