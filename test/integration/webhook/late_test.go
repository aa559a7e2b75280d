// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// TestIstioModuleComesLater starts the server in a cluster without the CRD of the
// Istio CR, and without that of AuthorizationPolicies.
func TestIstioModuleComesLater(t *testing.T) {
	t.Parallel()
	s := newStage(t, "", checkout.Path(t, "pkg/crd/kyma/apirules.gateway.kyma-project.io.yaml"))
	namespace := s.namespace(t)

	err := s.ask(t.Context(), t, "oauth2-proxy")
	require.True(t, apierrors.IsServiceUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "there is no Istio CR in the namespace kyma-system")
	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "jwt", "", jwt))

	require.NoError(t, s.plane.InstallCRDs(checkout.Path(t, "pkg/crd/kyma/istios.operator.kyma-project.io.yaml")))
	s.create(t, namespaces(), "", `{apiVersion: v1, kind: Namespace, metadata: {name: kyma-system}}`)
	s.createIstio(t)
	require.NoError(t, s.ask(t.Context(), t, "oauth2-proxy"), "one live read has to do")
	require.ErrorContains(t, s.ask(t.Context(), t, "oauth2-prox"), `did you mean "oauth2-proxy"?`)

	t.Run("the watch begins too", func(t *testing.T) {
		// Once it has, an authorizer is known without a live read.
		require.Eventually(t, func() bool {
			before := s.lists(t)
			require.NoError(t, s.ask(t.Context(), t, "oauth2-proxy"))
			return s.lists(t) == before
		}, patience, 100*often)
	})

	_, err = s.apiRules("v2", namespace).Create(t.Context(), object(t, apiRule("v2", namespace, "web", "", extAuth("oauth2-proxy"))), metav1.CreateOptions{})
	require.NoError(t, err)
}

// lists counts the answers to the webhook server's lists of Istio CRs.
func (s *stage) lists(t *testing.T) int {
	t.Helper()
	count := 0
	for _, event := range s.events(t) {
		if event.ImpersonatedUser != nil && event.Verb == "list" && event.ObjectRef != nil && event.ObjectRef.Resource == "istios" {
			count++
		}
	}
	return count
}
