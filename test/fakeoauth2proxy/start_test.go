// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeoauth2proxy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/fakeoauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/oidcprovider"
)

// TestStartRefusals holds the fake to what makes oauth2-proxy exit at start, and
// the real program too where there is one.
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
			args := arguments("127.0.0.1:0", provider.Issuer())
			if tc.args != nil {
				args = append(args, tc.args(provider.Issuer())...)
			}
			t.Run("fake", func(t *testing.T) {
				// A fake that does start ends with the context, and without an error.
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var log strings.Builder
				require.ErrorContains(t, fakeoauth2proxy.Run(ctx, args, environment, &log), tc.want)
			})
			t.Run("real", func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				out, err := realCommand(ctx, requireReal(t), args).CombinedOutput()
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit)
				assert.Positive(t, exit.ExitCode(), "it did not exit by itself")
				assert.Contains(t, string(out), tc.want)
			})
		})
	}
}

func TestOptions(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{TLS: true})
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, provider.CA(), 0o600))
	args := arguments("127.0.0.1:0", provider.Issuer())

	t.Run("the issuer's CA comes from a file", func(t *testing.T) {
		options, err := fakeoauth2proxy.ParseOptions(args, environment)
		require.NoError(t, err)
		_, err = fakeoauth2proxy.New(t.Context(), options, nil)
		require.ErrorContains(t, err, "certificate signed by unknown authority")

		options, err = fakeoauth2proxy.ParseOptions(append(args, "--provider-ca-file="+file), environment)
		require.NoError(t, err)
		_, err = fakeoauth2proxy.New(t.Context(), options, nil)
		require.NoError(t, err)
	})
	t.Run("a flag wins over the environment", func(t *testing.T) {
		options, err := fakeoauth2proxy.ParseOptions(append(args, "--client-id=flag"), environment)
		require.NoError(t, err)
		assert.Equal(t, "flag", options.ClientID)
		assert.Equal(t, cookieSecret, options.CookieSecret)
	})
	t.Run("everything the other flow and the chart set is taken", func(t *testing.T) {
		_, err := fakeoauth2proxy.ParseOptions(append(args, "--cookie-refresh=1h", "--cookie-expire=4h", "--redirect-url=https://a/oauth2/callback",
			"--code-challenge-method=S256", "--metrics-address=0.0.0.0:44180", "--config=/etc/oauth2_proxy/oauth2_proxy.cfg"), environment)
		require.NoError(t, err)
	})
	t.Run("what is missing is said all at once", func(t *testing.T) {
		_, err := fakeoauth2proxy.ParseOptions([]string{"--provider=oidc"}, func(string) string { return "" })
		for _, want := range []string{"missing setting: cookie-secret", "missing setting: client-id", "missing setting: client-secret", "missing setting: oidc-issuer-url", "email-domain"} {
			assert.ErrorContains(t, err, want)
		}
	})
	for name, tc := range map[string]struct {
		secret string
		ok     bool
	}{
		"16 bytes raw":     {"0123456789abcdef", true},
		"32 bytes, base64": {"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", true},
		"31 bytes":         {"0123456789abcdef0123456789abcde", false},
	} {
		t.Run("a cookie secret of "+name, func(t *testing.T) {
			_, err := fakeoauth2proxy.ParseOptions(append(args, "--cookie-secret="+tc.secret), environment)
			assert.Equal(t, tc.ok, err == nil, "%v", err)
		})
	}
}

// lineWriter passes on the first line that is written to it.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestRunServesUntilTheContextEnds(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log, done := make(lineWriter, 1), make(chan error, 1)
	go func() {
		done <- fakeoauth2proxy.Run(ctx, arguments("127.0.0.1:0", provider.Issuer()), environment, log)
	}()
	var line string
	select {
	case line = <-log:
	case err := <-done:
		require.NoError(t, err)
	}
	_, address, found := strings.Cut(strings.TrimSpace(line), "listening on ")
	require.True(t, found, "no address in %q", line)
	status, body := ask(t, row{method: "GET", path: "/ping"}, address, "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "OK", body)
	cancel()
	require.NoError(t, <-done)
}
