// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
)

func TestSecretsInValues(t *testing.T) {
	for name, tc := range map[string]struct {
		values string
		want   []string
	}{
		"a flag":                            {"extraArgs: {redis-password: x}", []string{"extraArgs.redis-password"}},
		"a flag in a list":                  {"extraContainers: [{args: [--client-secret=x, --upstream=y]}]", []string{"extraContainers[0].args[0]"}},
		"a flag and its value apart":        {"extraArgs: [--jwt-key, x]", []string{"extraArgs[0]"}},
		"a variable":                        {"extraEnv: [{name: OAUTH2_PROXY_COOKIE_SECRET, value: x}]", []string{"extraEnv[0].OAUTH2_PROXY_COOKIE_SECRET"}},
		"a variable from a Secret":          {"extraEnv: [{name: OAUTH2_PROXY_COOKIE_SECRET, valueFrom: {secretKeyRef: {name: a, key: b}}}]", nil},
		"a variable that is referred to":    {"extraArgs: {redis-password: $(REDIS_PASSWORD)}", nil},
		"the chart's session store":         {"sessionStorage: {type: redis, redis: {password: x, existingSecret: y}}", []string{"sessionStorage.redis.password"}},
		"a URL with a password":             {"extraArgs: {redis-connection-url: 'redis://me:x@redis:6379'}", []string{"extraArgs.redis-connection-url"}},
		"one of several URLs":               {"extraArgs: {redis-cluster-connection-urls: 'redis://a:1,redis://:x@b:1'}", []string{"extraArgs.redis-cluster-connection-urls"}},
		"a URL without one":                 {"extraArgs: {redis-connection-url: 'redis://redis:6379'}", nil},
		"an htpasswd file":                  {"htpasswdFile: {enabled: true, entries: ['me:$2y$05$abc']}", []string{"htpasswdFile.entries[0]"}},
		"an htpasswd file elsewhere":        {"extraObjects: [{data: {users: 'me:{SHA}abc'}}]", []string{"extraObjects[0].data.users"}},
		"the configuration file":            {"config: {configFile: \"upstreams = [ 'x' ]\\nclient_secret = 'x'\\n\"}", []string{"config.configFile"}},
		"a harmless configuration file":     {"config: {configFile: \"upstreams = [ 'static://200' ]\\nclient_secret_file = '/x'\\n\"}", nil},
		"the alpha configuration":           {"alphaConfig: {configData: {providers: [{clientSecret: x}]}}", []string{"alphaConfig.configData.providers[0].clientSecret"}},
		"a file of the alpha configuration": {"alphaConfig: {configData: {providers: [{clientSecretFile: x}]}}", nil},
		"a private key":                     {"extraObjects: [{stringData: {k: \"-----BEGIN EC PRIVATE KEY-----\"}}]", []string{"extraObjects[0].stringData.k"}},
		"a file with a secret":              {"extraArgs: {client-secret-file: /x, cookie-secret-file: /y}", nil},
		"an empty one":                      {"extraArgs: {redis-password: ''}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var values map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(tc.values), &values))
			assert.Equal(t, tc.want, oauth2proxy.SecretsIn(values))
		})
	}
}
