// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each profile's entry is a golden. What is printed passes lint as it is, but for what
// is said about headers that clients can send.
func TestRegisterPrintsEntries(t *testing.T) {
	for name, args := range map[string][]string{
		"oauth2-proxy":         {"oauth2-proxy", "--profile", "oauth2-proxy", "--service", "oauth2-proxy/oauth2-proxy"},
		"oauth2-proxy-sign-in": {"oauth2-proxy", "--profile", "oauth2-proxy", "--sign-in", "--service", "oauth2-proxy/oauth2-proxy"},
		"authelia":             {"sso", "--profile", "authelia", "--service", "auth/authelia:9091", "--timeout", "10s"},
		"authentik":            {"sso", "--profile", "authentik", "--service", "authentik/ak-outpost-apps", "--cluster-domain", "example.local"},
		"patch":                {"oauth2-proxy", "--profile", "oauth2-proxy", "--service", "oauth2-proxy/oauth2-proxy", "-o", "patch"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, "", append([]string{"register"}, args...)...)
			require.Equal(t, 0, code, stderr)
			file := filepath.Join("testdata", "register-"+name+".golden")
			if flag.Lookup("update").Value.String() == "true" {
				require.NoError(t, os.WriteFile(file, []byte(stdout), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), stdout)
			if name == "patch" {
				return
			}
			_, stdout, stderr = run(t, stdout, "lint", "-", "--ignore", "IdentityHeaderSpoofable")
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, "checked 1 Istio CR in 1 file: no errors")
			assert.NotContains(t, stderr, "warning")
		})
	}
}

func TestRegisterRefuses(t *testing.T) {
	const service = "--service=auth/proxy"
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no profile":               {[]string{"sso", service}, 2, `required flag(s) "profile" not set`},
		"an unknown profile":       {[]string{"sso", service, "--profile=autelia"}, 2, `there is no profile "autelia"; there are: authelia, authentik, oauth2-proxy, pomerium; did you mean "authelia"?`},
		"Pomerium":                 {[]string{"sso", service, "--profile=pomerium"}, 1, "Pomerium answers Envoy by gRPC only, and Kyma's Istio CR sets up authorizers by HTTP only, so every request would get 403; put Pomerium in front as a proxy instead"},
		"no namespace":             {[]string{"sso", "--service=proxy", "--profile=authelia"}, 2, `--service is "proxy"; write NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT`},
		"a host":                   {[]string{"sso", "--service=auth/proxy.auth.svc", "--profile=authelia"}, 2, `write NAMESPACE/SERVICE`},
		"a port by name":           {[]string{"sso", "--service=auth/proxy:http", "--profile=authelia"}, 2, `write NAMESPACE/SERVICE`},
		"a port that is none":      {[]string{"sso", "--service=auth/proxy:0", "--profile=authelia"}, 1, `spec.config.authorizers[0].port: Invalid value: "0": must be a port between 1 and 65535`},
		"a name that istiod lacks": {[]string{"SSO", service, "--profile=authelia"}, 1, `spec.config.authorizers[0].name: Invalid value: "SSO": istiod takes only names`},
		"a name of Kyma's":         {[]string{"envoy", service, "--profile=authelia"}, 1, `the name is taken by a provider of Kyma's Istio module`},
		"half a second":            {[]string{"sso", service, "--profile=authelia", "--timeout=500ms"}, 1, `must be whole seconds, at least 1s`},
		"signing in elsewhere":     {[]string{"sso", service, "--profile=authelia", "--sign-in"}, 2, "--sign-in is for oauth2-proxy: with Authelia people always sign in"},
		"replacing on paper":       {[]string{"sso", service, "--profile=authelia", "--replace"}, 2, "--replace is about the cluster: give --apply as well"},
		"an unknown format":        {[]string{"sso", service, "--profile=authelia", "-o", "json"}, 2, `--output is "json"; it can be yaml or patch`},
		"two names":                {[]string{"sso", "corp", service, "--profile=authelia"}, 2, "accepts 1 arg(s), received 2"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, "", append([]string{"register"}, tc.args...)...)
			assert.Equal(t, tc.code, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, tc.want)
		})
	}
}
