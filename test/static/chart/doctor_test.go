// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// kubectl extauth check looks, unless told otherwise, where the chart puts things.
func TestTheDoctorLooksWhereTheChartPutsThings(t *testing.T) {
	command, _, err := cli.NewCommand().Find([]string{"check"})
	require.NoError(t, err)
	installation := command.Flag("installation").DefValue
	looked, err := command.Flags().GetStringSlice("tls-secret")
	require.NoError(t, err)
	for name, rendering := range documented(t) {
		t.Run(name, func(t *testing.T) {
			read[appsv1.Deployment](t, rendering, "Deployment", installation, webhook.ConfigurationName)
			mutating := read[admissionregistrationv1.MutatingWebhookConfiguration](t, rendering, "MutatingWebhookConfiguration", "", webhook.ConfigurationName)
			service := mutating.Webhooks[0].ClientConfig.Service
			assert.Equal(t, installation, service.Namespace)
			read[corev1.Service](t, rendering, "Service", service.Namespace, service.Name)
			written := secrets(t, rendering, installation)
			assert.True(t, slices.ContainsFunc(looked, func(one string) bool { return slices.Contains(written, one) }), "%v has none of %v", written, looked)
		})
	}
}

// secrets are the names of the Secrets of a namespace, those that cert-manager is
// to write included.
func secrets(t *testing.T, rendering chart.Rendering, namespace string) []string {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	var names []string
	for _, object := range objects {
		switch {
		case object.GetNamespace() != namespace:
		case object.GetKind() == "Secret":
			names = append(names, object.GetName())
		case object.GetKind() == "Certificate":
			spec, _ := object.Object["spec"].(map[string]any)
			name, _ := spec["secretName"].(string)
			names = append(names, name)
		}
	}
	return names
}
