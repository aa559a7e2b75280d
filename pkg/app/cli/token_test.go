// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/oidc"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

const clientSecret = "not-to-be-seen"

func provider(t *testing.T, flaws oidcprovider.Flaws) *oidcprovider.Provider {
	t.Helper()
	return oidcprovider.Start(t, oidcprovider.Options{Flaws: flaws, Clients: map[string]string{"shop": clientSecret}})
}

func TestToken(t *testing.T) {
	file := write(t, "secret", clientSecret+"\n")
	cases := map[string]struct {
		flaws    oidcprovider.Flaws
		args     []string
		stdin    string
		wantCode int
		want     []string
	}{
		"claims of a good one": {
			args: []string{"--client-secret-file", file, "--claims"},
			want: []string{"audience        shop\n", "oauth2-proxy    accepts it\n", "signed with     RS256"},
		},
		"the secret from standard input": {
			args: []string{"--client-secret-file", "-", "--claims"}, stdin: clientSecret, want: []string{"accepts it"},
		},
		"a token that will be refused": {
			flaws:    oidcprovider.Flaws{Token: oidcprovider.TokenFlaws{Audience: "else", Lifetime: -time.Minute}},
			args:     []string{"--client-secret-file", file, "--claims"},
			wantCode: 1, want: []string{"refused         Audience: ", "refused         Expired: "},
		},
		"an opaque token": {
			flaws:    oidcprovider.Flaws{Token: oidcprovider.TokenFlaws{Opaque: true}},
			args:     []string{"--client-secret-file", file, "--claims"},
			wantCode: 1, want: []string{"refused         NotJWT: "},
		},
		"a signature of somebody else": {
			flaws:    oidcprovider.Flaws{Token: oidcprovider.TokenFlaws{ForeignKey: true}},
			args:     []string{"--client-secret-file", file, "--claims"},
			wantCode: 1, want: []string{"verifying the token against the keys"},
		},
		"a wrong secret": {
			args: []string{"--client-secret-file", "-"}, stdin: "wrong-one", wantCode: 1, want: []string{"invalid_client"},
		},
		"no secret":  {wantCode: 2, want: []string{"the client secret is missing"}},
		"no CA file": {args: []string{"--client-secret-file", file, "--ca-file", "/nowhere"}, wantCode: 2, want: []string{"reading --ca-file"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := provider(t, tc.flaws)
			code, stdout, stderr := run(t, tc.stdin, append([]string{"token", "--issuer", p.Issuer(), "--client-id", "shop"}, tc.args...)...)
			assert.Equal(t, tc.wantCode, code, stdout+stderr)
			for _, want := range tc.want {
				assert.Contains(t, stdout+stderr, want)
			}
			assert.NotContains(t, stdout+stderr, clientSecret)
			assert.NotContains(t, stdout+stderr, "wrong-one")
			assert.NotContains(t, stdout+stderr, "eyJ", "with --claims, and with errors, no token is printed")
		})
	}
}

func TestTokenIsPrintedAlone(t *testing.T) {
	p := provider(t, oidcprovider.Flaws{})
	code, stdout, stderr := run(t, clientSecret, "token", "--issuer", p.Issuer(), "--client-id", "shop", "--client-secret-file", "-")
	require.Equal(t, 0, code, stderr)
	assert.Empty(t, stderr)
	claims, err := oidc.DecodeClaims(stdout[:len(stdout)-1])
	require.NoError(t, err)
	assert.Equal(t, []string{"shop"}, claims.Audience)
}

func TestTokenUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"no issuer":               {"--client-id", "a"},
		"no client":               {"--issuer", "http://127.0.0.1:1"},
		"two clients":             {"--issuer", "http://127.0.0.1:1", "--client-id", "a", "--secret", "b"},
		"a Secret but no cluster": {"--issuer", "http://127.0.0.1:1", "--secret", "b", "--kubeconfig", "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t, "", append([]string{"token"}, args...)...)
			assert.Equal(t, 2, code, stderr)
		})
	}
}
