// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

const webhookHead = "apiVersion: config.extauth-guard.io/v1alpha1\nkind: WebhookConfig\n"

func TestWebhookDefaultsAreValid(t *testing.T) {
	assert.Empty(t, config.ValidateWebhook(config.DefaultWebhook()))
	loaded, err := config.LoadWebhook([]byte(webhookHead))
	require.NoError(t, err)
	assert.Equal(t, config.DefaultWebhook(), loaded, "an empty file says nothing")
}

func TestWebhookFileIsReadOverTheDefaults(t *testing.T) {
	loaded, err := config.LoadWebhook([]byte(webhookHead + `
server: {port: 10250, shutdownDelay: 1m}
metrics: {address: "0"}
policy:
  defaultAuthorizers: [corp]
  excludedNamespaces: [extauth-guard]
  unknownRegistry: Warn
`))
	require.NoError(t, err)
	want := config.DefaultWebhook()
	want.Server.Port, want.Server.ShutdownDelay.Duration = 10250, time.Minute
	want.Metrics.Address = "0"
	want.Policy.DefaultAuthorizers, want.Policy.ExcludedNamespaces = []string{"corp"}, []string{"extauth-guard"}
	want.Policy.UnknownRegistry = config.Warn
	assert.Equal(t, want, loaded)
}

func TestWebhookFileIsRefused(t *testing.T) {
	cases := map[string]struct {
		text, want string
	}{
		"an unknown field":       {"servr: {}", `unknown field "servr"`},
		"an unknown inner field": {"server: {prot: 1}", `unknown field "server.prot"`},
		"other capitals":         {"server: {Port: 1}", `unknown field "server.Port"`},
		"a field twice":          {"server: {port: 1, port: 2}", `key "port" already set in map`},
		"a port of no host":      {"server: {port: 0}", "server.port: Invalid value: 0: must be between 1 and 65535, inclusive"},
		"a port that is a text":  {`server: {port: "9443"}`, "cannot unmarshal string into Go struct field"},
		"a delay into the past":  {"server: {shutdownDelay: -1s}", `server.shutdownDelay: Invalid value: "-1s": must be between 0s and 5m`},
		"a delay without end":    {"server: {shutdownDelay: 1h}", `server.shutdownDelay: Invalid value: "1h0m0s": must be between 0s and 5m`},
		"no delay at all":        {"server: {shutdownDelay: soon}", `invalid duration`},
		"a relative authority":   {"server: {clientCA: ca.crt}", `server.clientCA: Invalid value: "ca.crt": must be an absolute path`},
		"names of nobody":        {"server: {clientNames: [kube-apiserver]}", "server.clientCA: Required value: names of clients mean nothing"},
		"a module of nowhere":    {"module: {enabled: true}", `module.namespace: Invalid value: ""`},
		"an unknown mode":        {"certificates: {mode: magic}", `certificates.mode: Unsupported value: "magic": supported values: `},
		"a relative folder":      {"certificates: {directory: tls}", `certificates.directory: Invalid value: "tls": must be an absolute path`},
		"an address without port": {
			"metrics: {address: localhost}", `metrics.address: Invalid value: "localhost": must be host:port, for example ":8080", or "0" to switch it off`,
		},
		"an address with a port that is none": {"probes: {address: ':99999'}", `probes.address: Invalid value: ":99999": must be host:port`},
		"too much to say":                     {"log: {verbosity: 3}", "log.verbosity: Invalid value: 3: must be 0, 1 or 2"},
		"nobody to inject":                    {"policy: {defaultAuthorizers: []}", "policy.defaultAuthorizers: Required value: name at least one authorizer"},
		"an authorizer that cannot be":        {"policy: {defaultAuthorizers: [Corp]}", `policy.defaultAuthorizers[0]: Invalid value: "Corp"`},
		"an authorizer twice":                 {"policy: {defaultAuthorizers: [a, a]}", `policy.defaultAuthorizers[1]: Duplicate value: "a"`},
		"a namespace that cannot be":          {"policy: {excludedNamespaces: ['*']}", `policy.excludedNamespaces[0]: Invalid value: "*"`},
		"an enforcement that is none":         {"policy: {unknownRegistry: deny}", `policy.unknownRegistry: Unsupported value: "deny": supported values: "Deny", "Warn"`},
		"names that are none":                 {"policy: {names: All}", `policy.names: Unsupported value: "All": supported values: "OwnNamespace", "Full"`},
		"another that is none":                {"policy: {severalAuthorizers: Maybe}", `policy.severalAuthorizers: Unsupported value: "Maybe": supported values: "Deny", "Warn"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := config.LoadWebhook([]byte(webhookHead + tc.text + "\n"))
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestEverythingThatIsWrongIsTold(t *testing.T) {
	_, err := config.LoadWebhook([]byte(webhookHead + "server: {port: -1}\ncertificates: {directory: ''}\nlog: {verbosity: -1}\n"))
	require.Error(t, err)
	for _, path := range []string{"server.port", "certificates.directory", "log.verbosity"} {
		assert.ErrorContains(t, err, path)
	}
}
