// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/e2e-framework/pkg/env"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/e2e"
)

// TestInstallations goes the way of one installation after another on the same
// node, each from the helm install to the uninstall.
func TestInstallations(t *testing.T) {
	c := newCluster(t, standInForKyma, false)
	_, err := c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	plain := values(t, "image: {repository: localhost/extauth-guard, tag: test, pullPolicy: Never}\ntests: {namespace: shop}\n")
	require.True(t, t.Run("with a certificate of our own", func(t *testing.T) { ownCertificate(t, c, plain) }), "the next begins where it ends")
	require.True(t, t.Run("with cert-manager", func(t *testing.T) { withCertManager(t, c, plain) }), "the next begins where it ends")
	require.True(t, t.Run("without Helm", func(t *testing.T) { withoutHelm(t, c) }), "the next begins where it ends")
	require.True(t, t.Run("as a module of Kyma", func(t *testing.T) { asModule(t, c) }), "the next begins where it ends")
	t.Run("the job undoes what it did", func(t *testing.T) { undone(t, c, plain) })
}

func ownCertificate(t *testing.T, c *cluster, plain map[string]any) {
	t.Helper()
	h, step := newHelm(t, c), steps(t)
	step("one helm install, with the bootstrap job", func(t *testing.T) {
		h.install(t, c.withBootstrap(t, plain))
		c.registered(t)
	})
	step("helm test", h.test)
	step("kubectl extauth check", c.checked)
	step("what is asked for is injected, what is misspelled is refused", c.works)
	step("the end-to-end suite", func(t *testing.T) {
		c.gateway(t)
		env.NewWithKubeConfig(c.kubeconfig).Test(t, e2e.Features()...)
	})
	step("a second run of the job changes nothing", func(t *testing.T) {
		h.upgrade(t, c.withBootstrap(t, plain))
		c.registered(t)
	})
	step("a rolling update", func(t *testing.T) {
		c.under(t, true, func(t *testing.T) { h.upgrade(t, merged(plain, "log", map[string]any{"verbosity": int64(1)})) })
	})
	step("replicas that are evicted one after another", func(t *testing.T) {
		c.under(t, true, c.deleteEveryPod)
	})
	step("a certificate that is replaced", func(t *testing.T) {
		c.under(t, true, c.replaceCertificate)
	})
	step("kubectl extauth check, after that", c.checked)
	step("an API server that restarts", func(t *testing.T) {
		c.under(t, false, func(t *testing.T) {
			c.node(t, "restart-apiserver")
			eventually(t, "the API server", func(ctx context.Context) error {
				_, err := c.typed.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
				return err
			})
		})
	})
	step("an uninstall", func(t *testing.T) {
		h.uninstall(t)
		c.gone(t, "after-own")
	})
}

// works insists that an annotated APIRule is injected and a misspelled one refused.
func (c *cluster) works(t *testing.T) {
	t.Helper()
	require.NoError(t, c.injected(t.Context()))
	require.NoError(t, c.refused(t.Context()))
}

func (c *cluster) webhooks(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := c.typed.CoreV1().Pods(chart.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=webhook"})
	if err != nil {
		return nil, err
	}
	return pods.Items, nil
}

// allReady says why not all replicas are ready, as the Deployment sees it.
func (c *cluster) allReady(ctx context.Context) error {
	deployment, err := c.typed.AppsV1().Deployments(chart.Namespace).Get(ctx, "extauth-guard", metav1.GetOptions{})
	if err != nil {
		return err
	}
	pods, err := c.webhooks(ctx)
	if err != nil {
		return err
	}
	if status := deployment.Status; status.ReadyReplicas != *deployment.Spec.Replicas || len(pods) != int(*deployment.Spec.Replicas) {
		return fmt.Errorf("%d of %d are ready, and there are %d Pods", status.ReadyReplicas, *deployment.Spec.Replicas, len(pods))
	}
	return nil
}

// deleteEveryPod deletes one replica, waits for the next, and so on.
func (c *cluster) deleteEveryPod(t *testing.T) {
	eventually(t, "all replicas", c.allReady)
	pods, err := c.webhooks(t.Context())
	require.NoError(t, err)
	require.Len(t, pods, 2)
	for _, pod := range pods {
		require.NoError(t, c.typed.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{}))
		eventually(t, "the next replica", func(ctx context.Context) error {
			if _, err := c.typed.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return errors.New("the old one is still there")
			}
			return c.allReady(ctx)
		})
	}
}

// replaceCertificate takes the certificate away and waits for another.
func (c *cluster) replaceCertificate(t *testing.T) {
	secrets := c.typed.CoreV1().Secrets(chart.Namespace)
	secret, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
	require.NoError(t, err)
	before := string(secret.Data["tls.crt"])
	delete(secret.Data, "tls.crt")
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	eventually(t, "another certificate", func(ctx context.Context) error {
		secret, err := secrets.Get(ctx, "extauth-guard-tls", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if now := string(secret.Data["tls.crt"]); now == "" || now == before {
			return errors.New("it is not there yet")
		}
		return nil
	})
}

// gone insists that nothing is left that blocks anyone, such as one who makes an
// APIRule of that name.
func (c *cluster) gone(t *testing.T, name string) {
	t.Helper()
	api := c.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, mutating.Items)
	validating, err := api.ValidatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, validating.Items)
	roles, err := c.typed.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=extauth-guard"})
	require.NoError(t, err)
	assert.Empty(t, roles.Items)
	eventually(t, "an APIRule", func(ctx context.Context) error {
		_, err := c.untyped.Resource(apirules).Namespace(namespace).Create(ctx, apirule(name, nil, "oauth2-proxy"), metav1.CreateOptions{})
		return err
	})
}
