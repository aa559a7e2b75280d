// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// failurePolicy is that of the validating webhook of APIRules.
func failurePolicy(t *testing.T, rendering chart.Rendering) admissionregistrationv1.FailurePolicyType {
	t.Helper()
	validating := read[admissionregistrationv1.ValidatingWebhookConfiguration](t, rendering, "ValidatingWebhookConfiguration", "", webhook.ConfigurationName)
	require.Equal(t, string(webhook.ValidateAPIRule), validating.Webhooks[0].Name)
	return *validating.Webhooks[0].FailurePolicy
}

func TestNothingStopsWhereTheAPIServerKeepsThePromises(t *testing.T) {
	on := map[string]any{"enabled": true}
	assert.Equal(t, admissionregistrationv1.Fail, failurePolicy(t, render(t, nil)))
	assert.Equal(t, admissionregistrationv1.Ignore, failurePolicy(t, render(t, map[string]any{"guarantee": on})))
	strict := map[string]any{"failurePolicy": "Fail"}
	assert.Equal(t, admissionregistrationv1.Fail, failurePolicy(t, render(t, map[string]any{"guarantee": on, "webhooks": strict})), "what is said counts")
}

func TestTheFormerNameOfTheGuarantee(t *testing.T) {
	on := map[string]any{"enabled": true}
	former, now := render(t, map[string]any{"backstop": on}), render(t, map[string]any{"guarantee": on})
	assert.Empty(t, cmp.Diff(now.Manifests, former.Manifests))
	assert.Contains(t, former.Notes, "backstop.enabled has a new name")
	assert.NotContains(t, now.Notes, "backstop.enabled has a new name")
}
