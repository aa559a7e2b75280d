// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func TestSelfMadeCertificates(t *testing.T) {
	const file = "apiVersion: config.extauth-guard.io/v1alpha1\nkind: WebhookConfig\ncertificates:\n  mode: self\n  self: "
	cases := map[string]struct {
		self, want string
	}{
		"names are enough":          {"{namespace: guard, secret: tls, service: guard}", ""},
		"names are required":        {"{}", "certificates.self.secret: Invalid value"},
		"a life of seconds":         {"{namespace: guard, secret: tls, service: guard, validity: 30s}", "certificates.self.validity: Invalid value: \"30s\": must be at least 1h"},
		"a renewal that never ends": {"{namespace: guard, secret: tls, service: guard, renewBefore: 2160h}", "must be more than zero and at most half of validity"},
		"an authority that is replaced for ever": {
			"{namespace: guard, secret: tls, service: guard, caValidity: 2160h}",
			"certificates.self.caValidity: Invalid value: \"2160h0m0s\": must be at least four times validity",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := config.LoadWebhook([]byte(file + tc.self + "\n"))
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.want)
		})
	}
}
