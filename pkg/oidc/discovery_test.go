// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

func httpClient(t *testing.T, ca []byte) *http.Client {
	t.Helper()
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{CA: ca, Timeout: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestDiscover(t *testing.T) {
	for name, tc := range map[string]struct {
		flaws  oidcprovider.Flaws
		issuer func(string) string
		want   func(issuer string) oidc.Metadata
		// wantErr are parts of the error; none means success.
		wantErr []string
		wantIs  error
	}{
		"a good provider yields its endpoints": {
			want: func(issuer string) oidc.Metadata {
				return oidc.Metadata{
					Issuer: issuer, TokenEndpoint: issuer + "/oauth/token", JWKSURI: issuer + "/keys",
					AuthorizationEndpoint: issuer + "/authorize",
					GrantTypes:            []string{"client_credentials", "authorization_code"}, GrantTypesStated: true,
					TokenAuthMethods:  []string{"client_secret_basic", "client_secret_post"},
					SigningAlgorithms: []string{"RS256"},
				}
			},
		},
		"grants that are not stated are the specification's": {
			flaws: oidcprovider.Flaws{GrantsUnstated: true},
			want: func(issuer string) oidc.Metadata {
				return oidc.Metadata{
					Issuer: issuer, TokenEndpoint: issuer + "/oauth/token", JWKSURI: issuer + "/keys",
					AuthorizationEndpoint: issuer + "/authorize",
					GrantTypes:            []string{"authorization_code", "implicit"},
					TokenAuthMethods:      []string{"client_secret_basic", "client_secret_post"},
					SigningAlgorithms:     []string{"RS256"},
				}
			},
		},
		"a slash too many in the configuration": {
			issuer:  func(s string) string { return s + "/" },
			wantErr: []string{"ends with a slash", "remove the slash"}, wantIs: oidc.ErrIssuerSlash,
		},
		"a slash too few in the configuration": {
			flaws:   oidcprovider.Flaws{IssuerSlash: true},
			wantErr: []string{"lacks the slash", "add the slash"}, wantIs: oidc.ErrIssuerSlash,
		},
		"a slash on both sides is the same issuer": {
			flaws:  oidcprovider.Flaws{IssuerSlash: true},
			issuer: func(s string) string { return s + "/" },
			want: func(issuer string) oidc.Metadata {
				base := issuer[:len(issuer)-1]
				return oidc.Metadata{
					Issuer: issuer, TokenEndpoint: base + "/oauth/token", JWKSURI: base + "/keys",
					AuthorizationEndpoint: base + "/authorize",
					GrantTypes:            []string{"client_credentials", "authorization_code"}, GrantTypesStated: true,
					TokenAuthMethods:  []string{"client_secret_basic", "client_secret_post"},
					SigningAlgorithms: []string{"RS256"},
				}
			},
		},
		"another issuer in the document": {
			flaws:   oidcprovider.Flaws{DocumentIssuer: "https://other.example.com"},
			wantErr: []string{`says the issuer is "https://other.example.com"`, "set the issuer to the provider's own"}, wantIs: oidc.ErrIssuerMismatch,
		},
		"a document without endpoints": {
			flaws:   oidcprovider.Flaws{NoTokenEndpoint: true, NoJWKS: true},
			wantErr: []string{"token_endpoint is missing", "jwks_uri is missing"},
		},
		"a path that has no document": {
			issuer:  func(s string) string { return s + "/nobody" },
			wantErr: []string{"/nobody/.well-known/openid-configuration answered 404", "404 page not found"},
		},
		"the address of the document instead of the issuer": {
			issuer:  func(s string) string { return s + "/.well-known/openid-configuration" },
			wantErr: []string{"is the address of the discovery document"},
		},
		"no URL at all":           {issuer: func(string) string { return "tenant" }, wantErr: []string{"not an absolute http or https URL"}},
		"an issuer with a query":  {issuer: func(s string) string { return s + "?a=b" }, wantErr: []string{"has a query or a fragment"}},
		"an issuer with userinfo": {issuer: func(string) string { return "https://me:hunter2@idp.example.com" }, wantErr: []string{"carries credentials", "me:xxxxx@"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := oidcprovider.Start(t, oidcprovider.Options{Flaws: tc.flaws})
			issuer := p.Issuer()
			if tc.issuer != nil {
				issuer = tc.issuer(issuer)
			}
			got, err := oidc.Discover(t.Context(), httpClient(t, nil), issuer)
			if tc.wantErr == nil {
				require.NoError(t, err)
				assert.Empty(t, cmp.Diff(tc.want(issuer), got), "(-want +got)")
				return
			}
			require.Error(t, err)
			for _, part := range tc.wantErr {
				assert.ErrorContains(t, err, part)
			}
			if tc.wantIs != nil {
				require.ErrorIs(t, err, tc.wantIs)
				assert.ErrorIs(t, err, oidc.ErrIssuerMismatch)
			}
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestDiscoverBelowAPathOverTLS(t *testing.T) {
	p := oidcprovider.Start(t, oidcprovider.Options{TLS: true, Path: "/tenant"})

	_, err := oidc.Discover(t.Context(), httpClient(t, nil), p.Issuer())
	require.ErrorIs(t, err, oidc.ErrUnreachable)
	assert.ErrorContains(t, err, "give the CA certificate")

	m, err := oidc.Discover(t.Context(), httpClient(t, p.CA()), p.Issuer())
	require.NoError(t, err)
	assert.Equal(t, p.Issuer()+"/oauth/token", m.TokenEndpoint)
}

func TestDiscoverUnreachable(t *testing.T) {
	p := oidcprovider.Start(t, oidcprovider.Options{})
	require.NoError(t, p.Close())
	_, err := oidc.Discover(t.Context(), httpClient(t, nil), p.Issuer())
	require.ErrorIs(t, err, oidc.ErrUnreachable)
	assert.ErrorContains(t, err, p.Issuer()+"/.well-known/openid-configuration")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = oidc.Discover(ctx, httpClient(t, nil), p.Issuer())
	require.ErrorIs(t, err, context.Canceled)
}

func TestDiscoverWithForeignAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"an HTML page": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>log in</html>") },
			`it starts with "<html>log in</html>"; is this the issuer URL?`,
		},
		"an endless redirect": {
			func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
			"more than five redirects",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			t.Cleanup(server.Close)
			_, err := oidc.Discover(t.Context(), httpClient(t, nil), server.URL)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestCheckClientCredentials(t *testing.T) {
	p := oidcprovider.Start(t, oidcprovider.Options{})
	for name, tc := range map[string]struct {
		flaws  oidcprovider.Flaws
		wantIs error
	}{
		"offered":           {oidcprovider.Flaws{}, nil},
		"not offered":       {oidcprovider.Flaws{NoClientCredentials: true}, oidc.ErrNoClientCredentials},
		"nothing is stated": {oidcprovider.Flaws{GrantsUnstated: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p.SetFlaws(tc.flaws)
			m, err := oidc.Discover(t.Context(), httpClient(t, nil), p.Issuer())
			require.NoError(t, err)
			assert.ErrorIs(t, m.CheckClientCredentials(), tc.wantIs)
		})
	}
}

func TestNewHTTPClient(t *testing.T) {
	_, err := oidc.NewHTTPClient(oidc.HTTPOptions{CA: []byte("not a certificate")})
	require.ErrorContains(t, err, "no PEM certificate in it")

	// The proxy of the environment is asked for hosts beyond loopback.
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(proxy.Close)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	_, err = oidc.Discover(t.Context(), httpClient(t, nil), "http://idp.example.invalid")
	require.ErrorContains(t, err, "answered 418")
	assert.Equal(t, "http://idp.example.invalid/.well-known/openid-configuration", asked)
}
