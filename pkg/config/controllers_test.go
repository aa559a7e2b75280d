// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func TestControllersConfiguration(t *testing.T) {
	const header = "apiVersion: " + config.APIVersion + "\nkind: WebhookConfig\n"
	cases := map[string]struct{ text, want string }{
		"the defaults":                     {"", ""},
		"one controller switched off":      {"controllers: {reinject: {enabled: false}}", ""},
		"a gateway without namespace":      {"controllers: {expose: {gateway: kyma-gateway}}", `controllers.expose.gateway: Invalid value: "kyma-gateway": must be namespace/name, for example kyma-system/kyma-gateway`},
		"an audit that never ends":         {"controllers: {audit: {period: 10ms}}", `controllers.audit.period: Invalid value: "10ms": must be at least 1s`},
		"a lease shorter than its renewal": {"leaderElection: {leaseDuration: 5s}", `leaderElection.leaseDuration: Invalid value: "5s": must be more than renewDeadline, and at least 1s`},
		"a renewal shorter than a retry":   {"leaderElection: {retryPeriod: 9s}", `leaderElection.renewDeadline: Invalid value: "10s": must be more than 1.2 times retryPeriod`},
		"a field that is none":             {"controllers: {audits: {}}", `parsing the WebhookConfig: unknown field "controllers.audits"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := config.LoadWebhook([]byte(header + tc.text))
			if tc.want == "" {
				require.NoError(t, err)
				assert.True(t, got.LeaderElection.Enabled)
				assert.True(t, got.Controllers.Expose.Enabled)
				return
			}
			assert.EqualError(t, err, tc.want)
		})
	}
}
