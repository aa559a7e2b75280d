// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// FuzzLoadWebhook: a file that is read says all of itself when it is written and
// read again, and nothing that was read is invalid.
func FuzzLoadWebhook(f *testing.F) {
	for _, seed := range []string{
		"", webhookHead, webhookHead + "server: {port: 1, shutdownDelay: 1m}\n", webhookHead + "policy: {unknownRegistry: Warn}\n---\n",
		webhookHead + "certificates: {mode: self, self: {namespace: a, secret: b, service: c}}\n", webhookHead + "server: {port: 1e3}\n", "a: &a [*a]\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := config.LoadWebhook(raw)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.Empty(t, config.ValidateWebhook(read))
		written, err := yaml.Marshal(read)
		require.NoError(t, err)
		again, err := config.LoadWebhook(written)
		require.NoError(t, err, "%s", written)
		require.Empty(t, cmp.Diff(read, again, cmpopts.EquateEmpty()))
	})
}

// FuzzLoadBootstrap is the same for the job.
func FuzzLoadBootstrap(f *testing.F) {
	for _, seed := range []string{
		"", minimal, minimal + "flow: AuthorizationCode\n", minimal + "authorizer: {name: a.b, timeout: 1500ms}\n",
		"apiVersion: config.extauth-guard.io/v1alpha1\nkind: BootstrapConfig\nproxy: {extraValues: {config: {clientSecret: x}, extraArgs: {upstream: y}, a: [1, 1.5, null]}}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := config.LoadBootstrap(raw)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		problems := config.ValidateBootstrap(read)
		require.Empty(t, cmp.Diff(problems.ToAggregate(), config.ValidateBootstrap(read).ToAggregate(), cmp.Comparer(sameError)))
		written, err := yaml.Marshal(read)
		require.NoError(t, err)
		again, err := config.LoadBootstrap(written)
		require.NoError(t, err, "%s", written)
		require.Empty(t, cmp.Diff(read, again, cmpopts.EquateEmpty()))
	})
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}
