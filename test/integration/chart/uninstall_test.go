// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// What helm template prints is applied with kubectl, by kustomize, by Flux: the
// hooks of Helm with the rest. Then everything in it runs, at once and for ever.
func TestWhatIsAppliedWithoutHelmGoesOnProtecting(t *testing.T) {
	c := newCluster(t)
	rendering, err := chart.Render(chart.Options{Values: map[string]any{"tests": map[string]any{"namespace": "shop"}}})
	require.NoError(t, err)
	local := localSettings(t)
	c.install(t, rendering, local.Server.Port)
	c.run(t, local)

	ran := 0
	for account, args := range c.programs(t, rendering) {
		ran++
		out, err := c.command(t, account, args...)
		t.Logf("%s, under the account %s: %v\n%s", strings.Join(args, " "), account, err, out)
	}
	assert.Positive(t, ran, "the Pod of helm test is one of them")
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		require.NoError(t, loadedObject(t, c, kind, "extauth-guard"), "it still is there")
	}
	require.NoError(t, c.injected(t.Context(), "first"))
	require.True(t, apierrors.IsInvalid(c.create(t.Context(), apirule("typo", nil, "ouath2-proxy"))))
}

// programs returns, by account, the arguments of every Pod and Job that is
// rendered and runs the webhook's program.
func (c *cluster) programs(t *testing.T, rendering chart.Rendering) map[string][]string {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	all := map[string][]string{}
	for _, object := range objects {
		path := []string{"spec"}
		switch object.GetKind() {
		case "Pod":
		case "Job":
			path = append(path, "template", "spec")
		default:
			continue
		}
		containers, _, err := unstructured.NestedSlice(object.Object, append(path, "containers")...)
		require.NoError(t, err)
		account, _, err := unstructured.NestedString(object.Object, append(path, "serviceAccountName")...)
		require.NoError(t, err)
		command, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "command")
		require.NoError(t, err)
		if filepath.Base(command[0]) == "webhook" {
			all[account] = command[1:]
		}
	}
	return all
}

// There is no kubelet here, which is as good as an image that cannot be pulled: no
// Pod ever starts. The uninstall needs none, and is over at once; Helm deletes what
// the API server asks and who answers together, so that a writer sees the webhook
// missing for a moment at most.
func TestAnUninstallNeedsNoPod(t *testing.T) {
	c := newCluster(t)
	configuration := c.helm(t)
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace = chart.Release, chart.Namespace
	_, err := install.RunWithContext(t.Context(), loadChart(t, "charts/extauth-guard"), chart.WithImage(nil))
	require.NoError(t, err)
	local := localSettings(t)
	c.lead(t, local.Server.Port)
	c.run(t, local)
	require.NoError(t, c.injected(t.Context(), "first"))

	stop := make(chan struct{})
	var writer sync.WaitGroup
	var first, last time.Time
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// Refused by the webhook, accepted without it; everything else is a failure.
			err := c.create(t.Context(), apirule("typo", nil, "ouath2-proxy"), metav1.DryRunAll)
			if err != nil && !apierrors.IsInvalid(err) {
				last = time.Now()
				if first.IsZero() {
					first = last
				}
			}
		}
	})
	uninstall := action.NewUninstall(configuration)
	uninstall.Wait, uninstall.Timeout = true, 20*time.Second
	began := time.Now()
	_, err = uninstall.Run(chart.Release)
	require.NoError(t, err)
	took := time.Since(began)
	require.Eventually(t, func() bool {
		return c.create(t.Context(), apirule("after", nil, "anything"), metav1.DryRunAll) == nil
	}, patience, glance, "nothing is left that refuses")
	close(stop)
	writer.Wait()
	t.Logf("the uninstall took %s; a writer saw failures for %s", took.Round(time.Millisecond), last.Sub(first).Round(time.Millisecond))
	assert.Less(t, last.Sub(first), 10*time.Second)
	for _, kind := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		assert.True(t, apierrors.IsNotFound(loadedObject(t, c, kind, "extauth-guard")), kind)
	}
}

// lead has the API server call the webhook beside it.
func (c *cluster) lead(t *testing.T, port int) {
	t.Helper()
	services := c.typed.CoreV1().Services(chart.Namespace)
	require.NoError(t, services.Delete(t.Context(), "extauth-guard", metav1.DeleteOptions{}))
	_, err := services.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	api := c.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].ClientConfig.Service.Port = new(int32(port))
	}
	_, err = api.MutatingWebhookConfigurations().Update(t.Context(), mutating, metav1.UpdateOptions{})
	require.NoError(t, err)
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	for i := range validating.Webhooks {
		validating.Webhooks[i].ClientConfig.Service.Port = new(int32(port))
	}
	_, err = api.ValidatingWebhookConfigurations().Update(t.Context(), validating, metav1.UpdateOptions{})
	require.NoError(t, err)
}
