// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func valuesConfigOf(change func(*config.BootstrapConfig)) config.BootstrapConfig {
	cfg := config.DefaultBootstrap()
	cfg.Issuer.URL = "https://id.example.com"
	cfg.Proxy.EmailDomains = []string{"*"}
	change(&cfg)
	return cfg
}

func TestValuesOfTheClientCredentialsFlow(t *testing.T) {
	got, err := newValues(valuesConfigOf(func(*config.BootstrapConfig) {}), "", "", "abc")
	require.NoError(t, err)
	want := map[string]any{
		"replicaCount": float64(2), "image": map[string]any{"tag": "v7.15.6"},
		"config": map[string]any{
			"existingSecret": "oauth2-proxy-credentials",
			"configFile":     "email_domains = [ \"*\" ]\nupstreams = [ \"static://200\" ]\n",
		},
		"podAnnotations": map[string]any{"checksum/credentials": "abc"},
		"extraArgs": map[string]any{
			"provider": "oidc", "oidc-issuer-url": "https://id.example.com", "skip-oidc-discovery": "false", "scope": "openid email",
			"upstream": "static://200", "cookie-secure": "true", "cookie-samesite": "lax", "reverse-proxy": "true",
			"trusted-proxy-ip": "127.0.0.6/32,::6/128", "skip-provider-button": "true", "set-xauthrequest": "true",
			"set-authorization-header": "true", "pass-authorization-header": "true", "pass-user-headers": "true", "pass-host-header": "true",
			"standard-logging": "true", "auth-logging": "true", "request-logging": "false",
			"force-json-errors": "true", "skip-jwt-bearer-tokens": "true",
		},
	}
	assert.Empty(t, cmp.Diff(want, got), "(-want +got)")
}

func TestValuesOfTheAuthorizationCodeFlow(t *testing.T) {
	got, err := newValues(valuesConfigOf(func(c *config.BootstrapConfig) {
		c.Flow = config.FlowAuthorizationCode
		c.Proxy.EmailDomains = []string{"example.com", "example.org"}
		c.Issuer.CABundle = "PEM"
	}), "apps.example.com", "login.apps.example.com", "abc")
	require.NoError(t, err)
	args := got["extraArgs"].(map[string]any)
	for flag, want := range map[string]string{
		"cookie-domain": "apps.example.com", "whitelist-domain": "*.apps.example.com:*", "cookie-secure": "true",
		"redirect-url": "https://login.apps.example.com/oauth2/callback", "code-challenge-method": "S256",
		"provider-ca-file": "/etc/oauth2-proxy-issuer-ca/ca.crt", "use-system-trust-store": "true",
		"cookie-csrf-per-request": "true", "cookie-csrf-per-request-limit": "16",
	} {
		assert.Equal(t, want, args[flag], flag)
	}
	assert.NotContains(t, args, "skip-jwt-bearer-tokens")
	assert.Contains(t, got["config"].(map[string]any)["configFile"], `email_domains = [ "example.com", "example.org" ]`)
	assert.Equal(t, []any{map[string]any{"name": "issuer-ca", "mountPath": "/etc/oauth2-proxy-issuer-ca", "readOnly": true}}, got["extraVolumeMounts"])
}

func TestEndpointsReplaceTheDiscovery(t *testing.T) {
	got, err := newValues(valuesConfigOf(func(c *config.BootstrapConfig) {
		c.Issuer.Endpoints = config.Endpoints{Authorization: "https://id/a", Token: "https://id/t", Keys: "https://id/k"}
	}), "", "", "abc")
	require.NoError(t, err)
	args := got["extraArgs"].(map[string]any)
	for flag, want := range map[string]string{
		"skip-oidc-discovery": "true", "login-url": "https://id/a", "redeem-url": "https://id/t", "oidc-jwks-url": "https://id/k",
		"oidc-issuer-url": "https://id.example.com",
	} {
		assert.Equal(t, want, args[flag], flag)
	}
}

func TestTheUsersValuesAreMergedKeyByKey(t *testing.T) {
	got, err := newValues(valuesConfigOf(func(c *config.BootstrapConfig) {
		c.Proxy.ExtraValues = map[string]any{
			"replicaCount": 3, "resources": map[string]any{"limits": map[string]any{"memory": "64Mi"}},
			"extraArgs": map[string]any{"cookie-samesite": "strict"},
		}
	}), "", "", "abc")
	require.NoError(t, err)
	assert.Equal(t, 3, got["replicaCount"])
	args := got["extraArgs"].(map[string]any)
	assert.Equal(t, "strict", args["cookie-samesite"])
	assert.Equal(t, "oidc", args["provider"])
}

func TestCookieSecretFits(t *testing.T) {
	for value, want := range map[string]bool{
		"0123456789abcdef":         true,
		"0123456789abcdef01234567": true,
		"too-short":                false,
		"":                         false,
		"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=": true,
		"0123456789abcdef0":                            false,
		string(newCookieSecret()):                      true,
	} {
		assert.Equal(t, want, cookieSecretFits(value), value)
	}
	first, second := newCookieSecret(), newCookieSecret()
	assert.NotEqual(t, first, second)
}

func TestPlaceholders(t *testing.T) {
	for value, want := range map[string]bool{
		"XXXXXXX": true, "xxxx": true, "changeme": true, "<client id>": true, "${CLIENT_SECRET}": true, "your-client-secret": true,
		"xxx": false, "checkout": false, "aXXXXXXX": false, "s3cret": false,
	} {
		assert.Equal(t, want, placeholder.MatchString(value), value)
	}
}
