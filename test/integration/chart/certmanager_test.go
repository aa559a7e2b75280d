// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/extauth-guard/extauth-guard/test/harness/certmanager"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// cert-manager's own controllers issue and renew, its cainjector writes the
// authority into the webhook configurations; the mount of the Secret is played by
// this test, as there is no kubelet.
func TestCertManagerIssuesAndRenewsWithoutInterruption(t *testing.T) {
	crds, err := certmanager.CRDs(t.Context())
	require.NoError(t, err)
	c := newCluster(t, crds)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, c.plane.WriteKubeconfig(kubeconfig))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- certmanager.Run(ctx, kubeconfig, c.plane.Config()) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})

	rendering, err := chart.Render(chart.Options{
		Values:      map[string]any{"certificates": map[string]any{"mode": "cert-manager"}},
		APIVersions: []string{"cert-manager.io/v1"},
	})
	require.NoError(t, err)
	local := localSettings(t)
	c.install(t, rendering, local.Server.Port)
	mounted := t.TempDir()
	require.Eventually(t, func() bool { return c.mount(t, mounted) == nil }, patience, glance, "cert-manager issues")
	local.Certificates.Directory = mounted
	c.run(t, local)
	require.Eventually(t, func() bool { return c.injected(t.Context(), "first") == nil }, patience, glance, "cainjector writes the authority")

	before, err := os.ReadFile(filepath.Join(mounted, "tls.crt"))
	require.NoError(t, err)
	c.load(t, func(t *testing.T) {
		c.renew(t)
		require.Eventually(t, func() bool {
			if c.mount(t, mounted) != nil {
				return false
			}
			now, err := os.ReadFile(filepath.Join(mounted, "tls.crt"))
			return err == nil && string(now) != string(before)
		}, patience, glance, "cert-manager renews")
	})
}

// mount writes the Secret's files, each at once.
func (c *cluster) mount(t *testing.T, directory string) error {
	t.Helper()
	secret, err := c.typed.CoreV1().Secrets(chart.Namespace).Get(t.Context(), "extauth-guard-cert-manager-tls", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, name := range []string{"tls.key", "tls.crt"} {
		if len(secret.Data[name]) == 0 {
			return errors.New("it is not complete")
		}
		next := filepath.Join(directory, "."+name)
		if err := errors.Join(os.WriteFile(next, secret.Data[name], 0o600), os.Rename(next, filepath.Join(directory, name))); err != nil {
			return err
		}
	}
	return nil
}

// renew does what cmctl renew does.
func (c *cluster) renew(t *testing.T) {
	t.Helper()
	certificates := c.client.Resource(schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}).Namespace(chart.Namespace)
	require.Eventually(t, func() bool {
		certificate, err := certificates.Get(t.Context(), "extauth-guard", metav1.GetOptions{})
		if err != nil {
			return false
		}
		conditions, _, err := unstructured.NestedSlice(certificate.Object, "status", "conditions")
		if err != nil {
			return false
		}
		conditions = append(conditions, map[string]any{
			"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by a test",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
		if unstructured.SetNestedSlice(certificate.Object, conditions, "status", "conditions") != nil {
			return false
		}
		_, err = certificates.UpdateStatus(t.Context(), certificate, metav1.UpdateOptions{})
		return err == nil
	}, patience, glance)
}
