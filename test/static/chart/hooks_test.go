// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// Whatever applies a rendering runs everything in it, hooks of Helm included.
func TestNothingThatIsRenderedMaySwitchTheWebhooksOff(t *testing.T) {
	for name, rendering := range documented(t) {
		objects, err := rendering.Objects()
		require.NoError(t, err)
		for _, object := range objects {
			if object.GetKind() != "Role" && object.GetKind() != "ClusterRole" {
				continue
			}
			var role rbacv1.Role
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
			for _, rule := range role.Rules {
				if slices.Contains(rule.Resources, "validatingwebhookconfigurations") || slices.Contains(rule.Resources, "mutatingwebhookconfigurations") {
					assert.NotContains(t, rule.Verbs, "delete", "%s: %s %s", name, object.GetKind(), object.GetName())
					assert.NotContains(t, rule.Verbs, "deletecollection", "%s: %s %s", name, object.GetKind(), object.GetName())
				}
			}
		}
	}
}

// An uninstall that waits for a Pod hangs where its image cannot be pulled.
func TestAnUninstallRunsNothing(t *testing.T) {
	for name, rendering := range documented(t) {
		objects, err := rendering.HookObjects()
		require.NoError(t, err)
		for _, object := range objects {
			assert.NotContains(t, object.GetAnnotations()["helm.sh/hook"], "delete", "%s: %s %s", name, object.GetKind(), object.GetName())
		}
	}
}

func TestWithoutHooksNothingIsAHook(t *testing.T) {
	values := map[string]any{
		"hooks": map[string]any{"enabled": false},
		"bootstrap": map[string]any{"enabled": true, "config": map[string]any{
			"issuer": map[string]any{"url": "https://issuer.example.com"}, "credentials": map[string]any{"name": "client"},
			"proxy": map[string]any{"chart": map[string]any{"digest": digest}},
		}},
	}
	rendering := render(t, values)
	hooks, err := rendering.HookObjects()
	require.NoError(t, err)
	assert.Empty(t, hooks)
	objects, err := rendering.Objects()
	require.NoError(t, err)
	var kinds []string
	for _, object := range objects {
		assert.NotContains(t, object.GetAnnotations(), "helm.sh/hook", "%s %s", object.GetKind(), object.GetName())
		kinds = append(kinds, object.GetKind())
	}
	assert.Contains(t, kinds, "Job", "the bootstrap job runs as any Job does")
	assert.NotContains(t, kinds, "Pod", "the Pod of helm test is for helm test")
}

// A checkout has no image of its own, and with webhooks that fail closed a
// Deployment without one refuses every APIRule.
func TestACheckoutIsNotInstalledWithoutAnImage(t *testing.T) {
	_, err := chart.Render(chart.Options{AsIs: true})
	require.ErrorContains(t, err, "this chart is a checkout: its version is 0.0.0, and ghcr.io/extauth-guard/extauth-guard:0.0.0 does not exist. "+
		"Install a release (helm install extauth-guard oci://ghcr.io/extauth-guard/charts/extauth-guard), or build and install this checkout with make install-dev, "+
		"or set image.repository and image.tag to an image that the nodes can pull")
	for name, image := range map[string]map[string]any{"a tag": {"tag": "dev"}, "a digest": {"digest": digest}} {
		_, err := chart.Render(chart.Options{AsIs: true, Values: map[string]any{"image": image}})
		require.NoError(t, err, name)
	}
}
