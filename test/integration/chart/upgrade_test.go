// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// previous is the chart that upgrades have to start from. Until there is a release
// that is the first one that was committed, without controllers and without the
// CRD; a release puts itself there.
const previous = "test/testdata/charts/extauth-guard-previous"

// helm returns what acts on releases, without hooks, because there is no kubelet
// that could run their Jobs.
func (c *cluster) helm(t *testing.T) *action.Configuration {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, c.plane.WriteKubeconfig(kubeconfig))
	flags := genericclioptions.NewConfigFlags(false)
	namespace := chart.Namespace
	flags.KubeConfig, flags.Namespace = &kubeconfig, &namespace
	configuration := &action.Configuration{}
	require.NoError(t, configuration.Init(flags, namespace, "secret", func(string, ...any) {}))
	return configuration
}

func loadChart(t *testing.T, folder string) *helmchart.Chart {
	t.Helper()
	loaded, err := loader.LoadDir(checkout.Path(t, folder))
	require.NoError(t, err)
	return loaded
}

func TestAnUpgradeFromThePreviousChart(t *testing.T) {
	c := newCluster(t)
	configuration := c.helm(t)
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace, install.DisableHooks = chart.Release, chart.Namespace, true
	_, err := install.RunWithContext(t.Context(), loadChart(t, previous), map[string]any{
		"replicas": 3, "webhooks": map[string]any{"excludedNamespaces": []any{"legacy"}},
	})
	require.NoError(t, err)
	before := c.deployment(t)
	c.serve(t)

	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace, upgrade.DisableHooks, upgrade.ResetThenReuseValues = chart.Namespace, true, true
	_, err = upgrade.RunWithContext(t.Context(), chart.Release, loadChart(t, "charts/extauth-guard"), chart.WithImage(map[string]any{
		"backstop": map[string]any{"enabled": true}, // the former name of guarantee
	}))
	require.NoError(t, err, "what a user set for the previous chart still has to mean something")
	after := c.deployment(t)
	assert.Equal(t, before.UID, after.UID, "the replicas are replaced one by one, not all at once by another Deployment")
	assert.Equal(t, int32(3), *after.Spec.Replicas, "what the user set stays")
	c.stillServes(t)
	crd := loadedObject(t, c, "customresourcedefinitions", "extauthpolicies.extauth-guard.io")
	require.NoError(t, crd, "what the new chart adds is there")
	settings, err := c.typed.CoreV1().ConfigMaps(chart.Namespace).Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Contains(t, settings.Data["config.yaml"], "legacy")
	assert.Contains(t, settings.Data["config.yaml"], "controllers:")

	t.Run("and back", func(t *testing.T) {
		rollback := action.NewRollback(configuration)
		rollback.Version, rollback.DisableHooks = 1, true
		require.NoError(t, rollback.Run(chart.Release))
		assert.Equal(t, before.UID, c.deployment(t).UID)
		c.stillServes(t)
		settings, err := c.typed.CoreV1().ConfigMaps(chart.Namespace).Get(t.Context(), "extauth-guard", metav1.GetOptions{})
		require.NoError(t, err)
		assert.NotContains(t, settings.Data["config.yaml"], "controllers:")
	})
	t.Run("and out", func(t *testing.T) {
		// What the previous chart runs before it goes is a Job, and there is no kubelet.
		uninstall := action.NewUninstall(configuration)
		uninstall.DisableHooks = true
		_, err := uninstall.Run(chart.Release)
		require.NoError(t, err)
		for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
			assert.True(t, apierrors.IsNotFound(loadedObject(t, c, kind, "extauth-guard")), kind)
		}
		policy := loadedObject(t, c, "validatingadmissionpolicies", "authorizers.extauth-guard.io")
		assert.True(t, apierrors.IsNotFound(policy))
		require.NoError(t, loadedObject(t, c, "customresourcedefinitions", "extauthpolicies.extauth-guard.io"), "policies of users stay")
		// The API server looks at its policies once in a while.
		require.Eventually(t, func() bool { return c.create(t.Context(), apirule("after", nil, "anything")) == nil }, patience, glance, "nothing is left that refuses")
	})
}

// loadedObject says why an object without a namespace cannot be read.
func loadedObject(t *testing.T, c *cluster, resource, name string) error {
	t.Helper()
	group := "admissionregistration.k8s.io"
	if resource == "customresourcedefinitions" {
		group = "apiextensions.k8s.io"
	}
	_, err := c.typed.Discovery().RESTClient().Get().AbsPath("/apis", group, "v1", resource, name).DoRaw(t.Context())
	return err
}

func (c *cluster) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	deployment, err := c.typed.AppsV1().Deployments(chart.Namespace).Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	return deployment
}

// serve writes what the webhook writes when it starts: its certificate, and the
// authority of it. Which one does not matter here, as nobody calls.
func (c *cluster) serve(t *testing.T) {
	t.Helper()
	_, err := c.typed.CoreV1().Secrets(chart.Namespace).Patch(t.Context(), "extauth-guard-tls", types.MergePatchType,
		[]byte(`{"stringData":{"tls.crt":"a certificate"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	api, authority := c.typed.AdmissionregistrationV1(), c.plane.Config().CAData
	require.NotEmpty(t, authority)
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.CABundle = authority
	}
	_, err = api.MutatingWebhookConfigurations().Update(t.Context(), mutating, metav1.UpdateOptions{})
	require.NoError(t, err)
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.CABundle = authority
	}
	_, err = api.ValidatingWebhookConfigurations().Update(t.Context(), validating, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// stillServes insists that nobody took that away: the replicas that run would be
// unreachable from then on.
func (c *cluster) stillServes(t *testing.T) {
	t.Helper()
	secret, err := c.typed.CoreV1().Secrets(chart.Namespace).Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, secret.Data["tls.crt"])
	api := c.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, mutating.Webhooks)
	for _, hook := range mutating.Webhooks {
		assert.NotEmpty(t, hook.ClientConfig.CABundle, hook.Name)
	}
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, validating.Webhooks)
	for _, hook := range validating.Webhooks {
		assert.NotEmpty(t, hook.ClientConfig.CABundle, hook.Name)
	}
}
