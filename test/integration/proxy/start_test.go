// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// TestStartRefusals has what makes oauth2-proxy exit at start.
func TestStartRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		flaws oidcprovider.Flaws
		// args change the arguments of the client-credentials flow.
		args func(issuer string) []string
		want string
	}{
		"an issuer that nobody answers for": {args: func(string) []string { return []string{"--oidc-issuer-url=http://127.0.0.1:1"} }, want: "connect: connection refused"},
		"an issuer with a slash":            {args: func(issuer string) []string { return []string{"--oidc-issuer-url=" + issuer + "/"} }, want: "issuer did not match the issuer returned by provider"},
		"a document with a slash":           {flaws: oidcprovider.Flaws{IssuerSlash: true}, want: "issuer did not match the issuer returned by provider"},
		"a document of another issuer":      {flaws: oidcprovider.Flaws{DocumentIssuer: "https://other.example.com"}, want: "issuer did not match the issuer returned by provider"},
		"a cookie secret of 17 bytes":       {args: func(string) []string { return []string{"--cookie-secret=0123456789abcdef0"} }, want: "must be 16, 24, or 32 bytes to create an AES cipher, but is 17 bytes"},
		"an empty cookie name":              {args: func(string) []string { return []string{"--cookie-name="} }, want: `invalid cookie name: ""`},
		"an unknown flag":                   {args: func(string) []string { return []string{"--no-such-flag=1"} }, want: "unknown flag: --no-such-flag"},
	} {
		t.Run(name, func(t *testing.T) {
			provider := oidcprovider.Start(t, oidcprovider.Options{Flaws: tc.flaws})
			args := arguments(provider.Issuer())
			if tc.args != nil {
				args = append(args, tc.args(provider.Issuer())...)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := oauth2proxy.New(ctx, oauth2proxy.Options{Args: args, Env: environment()})
			require.ErrorContains(t, err, "oauth2-proxy ended")
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// TestAnIssuerThatIsDownAtStart is bridged by explicit endpoints, as the job sets them:
// the proxy starts, and takes tokens once the issuer is there.
func TestAnIssuerThatIsDownAtStart(t *testing.T) {
	clients := map[string]string{clientID: clientSecret}
	gone := oidcprovider.Start(t, oidcprovider.Options{Clients: clients})
	issuer := gone.Issuer()
	require.NoError(t, gone.Close())
	running := oauth2proxy.Start(t, oauth2proxy.Options{Env: environment(), Args: append(arguments(issuer),
		"--skip-oidc-discovery=true", "--login-url="+issuer+"/authorize", "--redeem-url="+issuer+"/oauth/token", "--oidc-jwks-url="+issuer+"/keys")})
	request := extauthz.Request{Method: http.MethodGet, Authority: "shop.example.com", Path: "/", Header: http.Header{"Authorization": {"Bearer garbage"}}}
	require.Equal(t, http.StatusUnauthorized, verdict(t, running.Address(), "/verify?original=", request).Status)

	back := oidcprovider.Start(t, oidcprovider.Options{Clients: clients, Address: strings.TrimPrefix(issuer, "http://")})
	client, err := oidc.NewHTTPClient(oidc.HTTPOptions{})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	metadata, err := oidc.Discover(t.Context(), client, back.Issuer())
	require.NoError(t, err)
	token, err := oidc.ClientCredentials(t.Context(), client, metadata, oidc.Credentials{ClientID: clientID, Secret: oidc.NewSecret(clientSecret)})
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token.Access.Reveal())
	require.Equal(t, http.StatusOK, verdict(t, running.Address(), "/verify?original=", request).Status)
}
