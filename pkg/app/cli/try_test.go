// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// gatewayAnswers is a gateway whose answers depend on the token alone.
func gatewayAnswers(t *testing.T, without, garbage, token http.HandlerFunc) (address, ca string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "":
			without(w, r)
		case "Bearer garbage":
			garbage(w, r)
		default:
			token(w, r)
		}
	}))
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.Listener.Addr().String(), write(t, "ca.pem", string(certificate))
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func TestTry(t *testing.T) {
	login := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://idp.example.com/authorize")
		w.WriteHeader(http.StatusFound)
	}
	allowed, refused := status(200, "hello"), status(401, "{}")
	cases := map[string]struct {
		without, garbage, token http.HandlerFunc
		wantCode                int
		want                    []string
	}{
		"protected": {
			refused, refused, allowed, 0,
			[]string{"without a token 401  refused, as it should be", "with garbage    401  refused", "with a token    200  let in, as it should be"},
		},
		"for people":                 {login, refused, allowed, 0, []string{"302  sent to a login page, as it should be: https://idp.example.com/authorize"}},
		"open":                       {allowed, allowed, allowed, 1, []string{"without a token 200  let in: nothing asked", "with garbage    200  let in with a token"}},
		"a token that is refused":    {refused, refused, refused, 1, []string{"with a token    401  the authorizer does not accept the token", "token --claims"}},
		"refused by the sidecar":     {status(403, "RBAC: access denied"), refused, allowed, 1, []string{"403  the sidecar refused it", "called with a port"}},
		"an authorizer that is away": {status(403, ""), status(403, ""), status(403, ""), 1, []string{"with a token    403  the authorizer did not answer"}},
		"a rule of the proxy":        {refused, refused, status(403, "Forbidden"), 1, []string{"with a token    403  the authorizer refused it, and not for want of a token"}},
		"no route":                   {status(404, ""), status(404, ""), status(404, ""), 1, []string{"404  the gateway knows no route"}},
		"no workload":                {refused, refused, status(503, "no healthy upstream"), 1, []string{"503  the way to the workload is interrupted"}},
		"an application's own":       {refused, refused, status(404, "no such page"), 1, []string{"404  the application itself"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			address, ca := gatewayAnswers(t, tc.without, tc.garbage, tc.token)
			p := provider(t, oidcprovider.Flaws{})
			code, stdout, stderr := run(t, clientSecret, "try", "example.com", "--gateway", address, "--gateway-ca-file", ca,
				"--issuer", p.Issuer(), "--client-id", "shop", "--client-secret-file", "-")
			assert.Equal(t, tc.wantCode, code, stdout+stderr)
			for _, want := range tc.want {
				assert.Contains(t, stdout, want, stderr)
			}
			assert.NotContains(t, stdout+stderr, clientSecret)
			assert.NotContains(t, stdout+stderr, "eyJ", "no token is printed")
		})
	}
}

func TestTryWithoutAnIssuer(t *testing.T) {
	address, ca := gatewayAnswers(t, status(401, "{}"), status(401, "{}"), status(200, ""))
	code, stdout, stderr := run(t, "", "try", "example.com", "--gateway", address, "--gateway-ca-file", ca)
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "with a token    -    not tried: say where to get one")
}

func TestTryWithoutAnAnswer(t *testing.T) {
	address, _ := gatewayAnswers(t, status(401, ""), status(401, ""), status(200, ""))
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, tc := range map[string]struct {
		args     []string
		wantCode int
		want     string
	}{
		"a foreign certificate": {[]string{"example.com", "--gateway", address}, 1, "give it with --gateway-ca-file"},
		"nobody listens":        {[]string{"example.com", "--gateway", closed.Addr().String()}, 1, "connection refused"},
		"no such host":          {[]string{"nowhere.invalid"}, 1, "the host has no address"},
		"no host":               {[]string{"https://example.com/"}, 2, "is not a host"},
		"no path":               {[]string{"example.com", "--path", "orders"}, 2, "does not start with a slash"},
		"no port":               {[]string{"example.com", "--gateway", "10.0.0.1"}, 2, "is not host:port"},
		"no CA file":            {[]string{"example.com", "--gateway-ca-file", "/nowhere"}, 2, "reading --gateway-ca-file"},
		"no credentials":        {[]string{"example.com", "--issuer", "https://idp.example.com"}, 2, "the client secret is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, "", append([]string{"try"}, tc.args...)...)
			assert.Equal(t, tc.wantCode, code, stdout+stderr)
			assert.Contains(t, stdout+stderr, tc.want)
		})
	}
}
