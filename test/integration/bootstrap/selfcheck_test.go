// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// TestSelfCheckNeedsOurWebhooks runs the whole job first without and then with the
// webhook server as it ships.
func TestSelfCheckNeedsOurWebhooks(t *testing.T) {
	s := newScene(t)
	s.set(t, "selfCheck", map[string]any{"enabled": true})
	s.set(t, "timeouts.step", "15s") // the real proxy has to start first
	missing := s.run(t)
	require.ErrorContains(t, missing.err, "step selfcheck: an APIRule that asks for injection was refused")
	require.ErrorContains(t, missing.err, "is the mutating webhook running")
	assert.Equal(t, exit.Timeout, exit.Code(missing.err))

	s.startWebhooks(t)
	got := s.run(t)
	require.NoError(t, got.err, got.stdout)
	assert.Equal(t, "an annotated APIRule is injected, an unregistered authorizer is refused", got.steps["selfcheck"].Message)
}

func (s *scene) startWebhooks(t *testing.T) {
	t.Helper()
	settings, err := guard.Settings(t.Context(), t.TempDir())
	require.NoError(t, err)
	manager, err := serve.NewManager(plane.Config(), settings, logDiscard())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() { stop(); assert.NoError(t, <-ended) })
	require.NoError(t, guard.Ready(t.Context(), settings))
	registration, err := guard.Registration(settings)
	require.NoError(t, err)
	require.NoError(t, guard.Register(t.Context(), plane.Config(), registration))
	t.Cleanup(func() {
		// Before the server ends: those that fail closed would stop other tests.
		all := context.WithoutCancel(t.Context())
		assert.NoError(t, s.client.DeleteAllOf(all, &admissionregistrationv1.MutatingWebhookConfiguration{}))
		assert.NoError(t, s.client.DeleteAllOf(all, &admissionregistrationv1.ValidatingWebhookConfiguration{}))
	})
}
