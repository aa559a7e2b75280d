// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// The client's ID and secret hold what form-urlencoding must take care of (RFC
// 6749, section 2.3.1).
const (
	clientID     = "shop:frontend+1"
	clientSecret = `s3cr3t/with %20:+&"quotes" & <tags>`
)

func startProvider(t *testing.T, flaws oidcprovider.Flaws) (*oidcprovider.Provider, oidc.Metadata, *http.Client) {
	t.Helper()
	p := oidcprovider.Start(t, oidcprovider.Options{
		Flaws:   flaws,
		Clients: map[string]string{clientID: clientSecret, "other": "other-secret"},
	})
	client := httpClient(t, nil)
	m, err := oidc.Discover(t.Context(), client, p.Issuer())
	require.NoError(t, err)
	return p, m, client
}

func TestClientCredentials(t *testing.T) {
	good := oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)}
	for name, tc := range map[string]struct {
		flaws       oidcprovider.Flaws
		credentials oidc.Credentials
		scopes      []string
		wantMethod  string
		// wantTries is how often the token endpoint is asked.
		wantTries int
		wantErr   []string
		wantIs    error
	}{
		"basic comes first":            {credentials: good, wantMethod: oidc.AuthBasic, wantTries: 1},
		"scopes are sent":              {credentials: good, scopes: []string{"openid", "email"}, wantMethod: oidc.AuthBasic, wantTries: 1},
		"another client":               {credentials: oidc.Credentials{ClientID: "other", Secret: oidc.NewSecret("other-secret")}, wantMethod: oidc.AuthBasic, wantTries: 1},
		"post where it alone is taken": {flaws: oidcprovider.Flaws{PostOnly: true}, credentials: good, wantMethod: oidc.AuthPost, wantTries: 1},
		"post after basic was refused": {flaws: oidcprovider.Flaws{BasicRefused: true}, credentials: good, wantMethod: oidc.AuthPost, wantTries: 2},
		"neither is offered": {
			flaws: oidcprovider.Flaws{KeysOnly: true}, credentials: good,
			wantErr: []string{"offers private_key_jwt"}, wantIs: oidc.ErrNoAuthMethod,
		},
		"a wrong secret shows the provider's words": {
			credentials: oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret("wrong-secret")}, wantTries: 2,
			wantErr: []string{"/oauth/token answered 401: invalid_client: unknown client or wrong secret", `for client "shop:frontend+1" with client_secret_basic`, "with client_secret_post"},
		},
		"a provider that echoes the request does not leak": {
			flaws: oidcprovider.Flaws{EchoRequest: true}, wantTries: 2,
			credentials: oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret("wrong secret/&<x>")},
			wantErr:     []string{"invalid_client", "[redacted]"},
		},
		"a gateway's page is quoted, bounded": {
			flaws: oidcprovider.Flaws{TokenStatus: 503, EchoRequest: true}, credentials: good, wantTries: 1,
			wantErr: []string{"answered 503", "gateway trouble", "…"},
		},
		"a grant that is refused": {
			flaws: oidcprovider.Flaws{NoClientCredentials: true}, credentials: good, wantTries: 1,
			wantErr: []string{"answered 400: unsupported_grant_type: grant not supported"},
		},
		"an empty ID":     {credentials: oidc.Credentials{Secret: oidc.NewSecret("x")}, wantErr: []string{"client ID is empty"}},
		"an empty secret": {credentials: oidc.Credentials{ClientID: "x"}, wantErr: []string{"client secret is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, m, client := startProvider(t, tc.flaws)
			token, err := oidc.ClientCredentials(t.Context(), client, m, tc.credentials, tc.scopes...)
			tries := 0
			for _, r := range p.Requests() {
				if strings.HasPrefix(r, "POST ") {
					tries++
				}
			}
			assert.Equal(t, tc.wantTries, tries, "requests to the token endpoint")
			if tc.wantErr != nil {
				require.Error(t, err)
				for _, part := range tc.wantErr {
					assert.ErrorContains(t, err, part)
				}
				if tc.wantIs != nil {
					require.ErrorIs(t, err, tc.wantIs)
				}
				assertNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err), tc.credentials)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.wantMethod, token.AuthMethod)
			assert.Equal(t, "Bearer", token.Type)
			claims, err := oidc.Verify(t.Context(), client, m, tc.credentials.ClientID, token.Access, time.Now())
			require.NoError(t, err)
			assert.Equal(t, []string{tc.credentials.ClientID}, claims.Audience)
			assert.WithinDuration(t, claims.Expiry, token.Expiry, 5*time.Second)
		})
	}
}

// assertNoSecret looks for the secret in every form it was sent in.
func assertNoSecret(t *testing.T, text string, c oidc.Credentials) {
	t.Helper()
	secret := c.Secret.Reveal()
	if len(secret) < 4 {
		return
	}
	pair := url.QueryEscape(c.ClientID) + ":" + url.QueryEscape(secret)
	for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(pair))} {
		assert.NotContains(t, text, form)
	}
}

// A redirect would carry the secret to another host.
func TestClientCredentialsDoesNotFollowRedirects(t *testing.T) {
	followed := false
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(target.Close)
	endpoint := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	t.Cleanup(endpoint.Close)
	_, err := oidc.ClientCredentials(t.Context(), httpClient(t, nil),
		oidc.Metadata{TokenEndpoint: endpoint.URL, TokenAuthMethods: []string{oidc.AuthPost}},
		oidc.Credentials{ClientID: "a", Secret: oidc.NewSecret("secret")})
	require.ErrorContains(t, err, "answered 307")
	assert.False(t, followed, "the redirect was followed")
}

func TestClientCredentialsWithForeignAnswers(t *testing.T) {
	for name, tc := range map[string]struct{ answer, want string }{
		"no JSON":   {"hello", "something that is no token"},
		"no token":  {`{"token_type":"Bearer"}`, "server response missing access_token"},
		"error 200": {`{"error":"slow_down","error_description":"later"}`, "answered 200: slow_down: later"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, tc.answer)
			}))
			t.Cleanup(server.Close)
			_, err := oidc.ClientCredentials(t.Context(), httpClient(t, nil),
				oidc.Metadata{TokenEndpoint: server.URL, TokenAuthMethods: []string{oidc.AuthBasic}},
				oidc.Credentials{ClientID: "a", Secret: oidc.NewSecret("secret")})
			assert.ErrorContains(t, err, tc.want)
		})
	}
	server := httptest.NewServer(nil)
	server.Close()
	_, err := oidc.ClientCredentials(t.Context(), httpClient(t, nil),
		oidc.Metadata{TokenEndpoint: server.URL, TokenAuthMethods: []string{oidc.AuthBasic}},
		oidc.Credentials{ClientID: "a", Secret: oidc.NewSecret("secret")})
	require.ErrorIs(t, err, oidc.ErrUnreachable)
}

func TestVerifyRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		flaws oidcprovider.TokenFlaws
		later time.Duration
		want  string
	}{
		"a key that is not published": {flaws: oidcprovider.TokenFlaws{ForeignKey: true}, want: "failed to verify signature"},
		"another audience":            {flaws: oidcprovider.TokenFlaws{Audience: "api"}, want: "expected audience"},
		"another issuer":              {flaws: oidcprovider.TokenFlaws{Issuer: "https://other.example.com"}, want: "id token issued by a different provider"},
		"a token at a later time":     {later: 2 * time.Hour, want: "token is expired"},
	} {
		t.Run(name, func(t *testing.T) {
			_, m, client := startProvider(t, oidcprovider.Flaws{Token: tc.flaws})
			token, err := oidc.ClientCredentials(t.Context(), client, m, oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)})
			require.NoError(t, err)
			_, err = oidc.Verify(t.Context(), client, m, clientID, token.Access, time.Now().Add(tc.later))
			require.ErrorContains(t, err, tc.want)
			assert.ErrorContains(t, err, m.JWKSURI)
			assert.NotContains(t, err.Error(), token.Access.Reveal())
		})
	}
}

func TestSecretSaysNothing(t *testing.T) {
	s := oidc.NewSecret("hunter22")
	in := struct {
		Secret  oidc.Secret
		Pointer *oidc.Secret
	}{s, &s}
	asJSON, err := json.Marshal(in)
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("said", "secret", s, "in", in)
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %q %v %+v %#v %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%v %+v %#v", in, in, in),
		s.String(), s.GoString(), string(asJSON), log.String(), s.Redact("it is hunter22!"),
	} {
		assert.NotContains(t, text, "hunter22")
		assert.NotContains(t, text, "68756e746572")
		assert.Contains(t, text, "[redacted]")
	}
	assert.Equal(t, "hunter22", s.Reveal())
	assert.True(t, s.Equal(oidc.NewSecret("hunter22")))
	assert.False(t, s.Equal(oidc.NewSecret("hunter23")))
	assert.True(t, oidc.Secret{}.IsEmpty())
}
