// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

const minimal = `apiVersion: config.extauth-guard.io/v1alpha1
kind: BootstrapConfig
issuer: {url: "https://id.example.com"}
credentials: {namespace: team, name: client}
proxy:
  chart: {digest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
`

func TestTheMinimalBootstrapConfigurationIsValid(t *testing.T) {
	cfg, err := config.LoadBootstrap([]byte(minimal))
	require.NoError(t, err)
	assert.Empty(t, config.ValidateBootstrap(cfg))
	assert.Equal(t, config.FlowClientCredentials, cfg.Flow)
	assert.Equal(t, "10.7.0", cfg.Proxy.Chart.Version, "a digest alone keeps the default version")
	assert.Equal(t, []string{"*"}, cfg.Proxy.EmailDomains)
	assert.Equal(t, 5*time.Second, cfg.Authorizer.Timeout.Duration)
}

func TestLoadBootstrapRefusesTypos(t *testing.T) {
	_, err := config.LoadBootstrap([]byte(minimal + "athorizer: {}\n"))
	require.EqualError(t, err, `reading the bootstrap configuration: parsing the BootstrapConfig: unknown field "athorizer"`)
}

func TestValidateBootstrap(t *testing.T) {
	cases := map[string]struct {
		change func(*config.BootstrapConfig)
		want   []string
	}{
		"defaults alone name all that is missing": {
			func(c *config.BootstrapConfig) { *c = config.DefaultBootstrap() },
			[]string{
				"issuer.url: Required value: the URL of the OpenID Connect issuer",
				"credentials.namespace: Required value",
				"credentials.name: Required value",
				"proxy.chart.digest: Required value: pin the archive: sha256:<hex>; `helm pull` the version and run sha256sum on it",
			},
		},
		"values that would take the place of the job's": {
			func(c *config.BootstrapConfig) {
				c.Proxy.ExtraValues = map[string]any{"extraArgs": nil, "config": []any{"x"}}
			},
			[]string{
				`proxy.extraValues.config: Invalid value: "…": must be a map: anything else takes away what the job sets there`,
				`proxy.extraValues.extraArgs: Invalid value: "…": must be a map: anything else takes away what the job sets there`,
			},
		},
		"an unknown flow": {
			func(c *config.BootstrapConfig) { c.Flow = "Implicit" },
			[]string{`flow: Unsupported value: "Implicit": supported values: "ClientCredentials", "AuthorizationCode"`},
		},
		"a callback in a flow that has none": {
			func(c *config.BootstrapConfig) { c.Callback.Host = "a.example.com" },
			[]string{"callback.host: Forbidden: the client-credentials flow has no callback; remove it or set flow: AuthorizationCode"},
		},
		"people may log in only when somebody said who": {
			func(c *config.BootstrapConfig) { c.Flow, c.Proxy.EmailDomains = config.FlowAuthorizationCode, nil },
			[]string{`proxy.emailDomains: Required value: say which e-mail domains may log in; ["*"] lets in everybody whom the issuer lets in`},
		},
		"an issuer without TLS": {
			func(c *config.BootstrapConfig) { c.Issuer.URL = "http://id.example.com" },
			[]string{`issuer.url: Invalid value: "http://id.example.com": must be https; http is for loopback addresses only`},
		},
		"a password in the issuer's URL is not repeated": {
			func(c *config.BootstrapConfig) { c.Issuer.URL = "https://a:hunter2@id.example.com" },
			[]string{"issuer.url: Forbidden: a URL with a user or a password would end up in logs; use the Secret"},
		},
		"some of the issuer's endpoints": {
			func(c *config.BootstrapConfig) {
				c.Issuer.Endpoints = config.Endpoints{Token: "https://id.example.com/token?p=x", Keys: "http://id.example.com/keys"}
			},
			[]string{
				"issuer.endpoints.authorization: Required value: the proxy needs all three, or none and the discovery document",
				`issuer.endpoints.keys: Invalid value: "http://id.example.com/keys": must be https; http is for loopback addresses only`,
			},
		},
		"an issuer with a query": {
			func(c *config.BootstrapConfig) { c.Issuer.URL = "https://id.example.com?p=x" },
			[]string{`issuer.url: Invalid value: "https://id.example.com?p=x": an issuer has neither query nor fragment (OpenID Connect Discovery 1.0, 2)`},
		},
		"a chart version that is a range": {
			func(c *config.BootstrapConfig) { c.Proxy.Chart.Version = "~10.7" },
			[]string{`proxy.chart.version: Invalid value: "~10.7": must be one exact version such as 10.7.0, not a range`},
		},
		"a digest of another kind": {
			func(c *config.BootstrapConfig) { c.Proxy.Chart.Digest = "md5:00" },
			[]string{`proxy.chart.digest: Invalid value: "md5:00": must be sha256: and 64 hexadecimal digits in lower case`},
		},
		"credentials in the extra values": {
			func(c *config.BootstrapConfig) {
				c.Proxy.ExtraValues = map[string]any{
					"config":    map[string]any{"clientSecret": "hunter2"},
					"extraArgs": map[string]any{"cookie-secure": false},
				}
			},
			[]string{
				"proxy.extraValues.config.clientSecret: Forbidden: credentials come from the Secret only: Helm stores its values in the cluster",
				"proxy.extraValues.extraArgs[cookie-secure]: Forbidden: the job sets this flag itself",
			},
		},
		"a timeout that Kyma would cut to zero": {
			func(c *config.BootstrapConfig) {
				c.Authorizer.Timeout = metav1.Duration{Duration: 500 * time.Millisecond}
			},
			[]string{`authorizer.timeout: Invalid value: "500ms": must be whole seconds and at least 1s: Kyma's Istio module cuts off the rest`},
		},
		"the platform's namespace": {
			func(c *config.BootstrapConfig) { c.Proxy.Namespace = "kyma-system" },
			[]string{"proxy.namespace: Forbidden: the proxy gets a namespace of its own: kyma-system belongs to the platform"},
		},
		"a step longer than everything": {
			func(c *config.BootstrapConfig) { c.Timeouts.Total = metav1.Duration{Duration: time.Second} },
			[]string{`timeouts.step: Invalid value: "5m0s": must not be longer than total (1s)`},
		},
		"a gateway without namespace": {
			func(c *config.BootstrapConfig) { c.Gateway = "kyma-gateway" },
			[]string{`gateway: Invalid value: "kyma-gateway": must be namespace/name`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.LoadBootstrap([]byte(minimal))
			require.NoError(t, err)
			tc.change(&cfg)
			var got []string
			for _, err := range config.ValidateBootstrap(cfg) {
				got = append(got, err.Error())
			}
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}
}
