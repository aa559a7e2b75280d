// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// FuzzValues merges anything over the values that the job makes. What the
// validation lets pass never replaces what makes the proxy safe, never brings a
// secret into Helm's values, and merging it twice is merging it once.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"replicaCount":1}`, `{"extraArgs":{"set-xauthrequest":"true"}}`, `{"extraArgs":{"upstream":"x"}}`, `{"extraArgs":null}`,
		`{"config":{"clientSecret":"x"}}`, `{"config":{"existingSecret":"other"}}`, `{"config":[]}`, `{"extraArgs":["--upstream=x"]}`, `{"a":{"b":{"c":1}}}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, browser bool) {
		var extra map[string]any
		if json.Unmarshal(raw, &extra) != nil {
			t.Skip("no values")
		}
		cfg := config.DefaultBootstrap()
		if browser {
			cfg.Flow = config.FlowAuthorizationCode
		}
		cfg.Issuer.URL, cfg.Credentials.Name, cfg.Credentials.Namespace = "https://issuer.example.com", "client", "team"
		before, err := newValues(cfg, "kyma.example.com", "login.kyma.example.com", "abc")
		require.NoError(t, err)
		cfg.Proxy.ExtraValues = extra
		for _, problem := range config.ValidateBootstrap(cfg) {
			if strings.HasPrefix(problem.Field, "proxy.extraValues") {
				return
			}
		}
		after, err := newValues(cfg, "kyma.example.com", "login.kyma.example.com", "abc")
		require.NoError(t, err)
		safe, _ := before["extraArgs"].(map[string]any)
		args, ok := after["extraArgs"].(map[string]any)
		require.True(t, ok, "the arguments of the job are gone")
		for _, flag := range []string{"client-id", "client-secret", "cookie-secret", "oidc-issuer-url", "upstream", "cookie-secure"} {
			require.Equal(t, safe[flag], args[flag], flag)
		}
		section, _ := after["config"].(map[string]any)
		for _, key := range []string{"clientID", "clientSecret", "cookieSecret"} {
			require.NotContains(t, section, key)
		}
		again, err := newValues(cfg, "kyma.example.com", "login.kyma.example.com", "abc")
		require.NoError(t, err)
		require.Equal(t, after, again)
	})
}
