// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/extauth-guard/extauth-guard/test/harness/certmanager"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

var certificates = schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: "certificates"}

// withCertManager installs the chart again, after an uninstall, in its other mode.
func withCertManager(t *testing.T, c *cluster, plain map[string]any) {
	t.Helper()
	step := steps(t)
	step("cert-manager's controllers run in a Pod", c.certManager)
	h := newHelm(t, c) // it asks only once what the cluster serves
	step("helm install", func(t *testing.T) {
		h.install(t, merged(plain, "certificates", map[string]any{"mode": "cert-manager"}))
	})
	step("helm test", h.test)
	step("what is asked for is injected, what is misspelled is refused", c.works)
	step("a certificate that cert-manager renews", func(t *testing.T) {
		c.under(t, true, c.renewCertificate)
	})
	step("a rolling update", func(t *testing.T) {
		c.under(t, true, func(t *testing.T) {
			h.upgrade(t, merged(merged(plain, "certificates", map[string]any{"mode": "cert-manager"}), "log", map[string]any{"verbosity": int64(1)}))
		})
	})
	step("an uninstall", func(t *testing.T) {
		h.uninstall(t)
		c.gone(t, "after-cert-manager")
	})
}

// certManager installs cert-manager's CRDs, and runs its controllers and its
// cainjector, all in one Pod with one account, which may do everything.
func (c *cluster) certManager(t *testing.T) {
	crds, err := certmanager.CRDs(t.Context())
	require.NoError(t, err)
	_, err = envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{Paths: []string{crds}, ErrorIfPathMissing: true, CRDs: []*apiextensionsv1.CustomResourceDefinition{}})
	require.NoError(t, err)
	const name = "cert-manager"
	meta := metav1.ObjectMeta{Name: name, Namespace: name, Labels: map[string]string{"app": name}}
	_, err = c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.CoreV1().ServiceAccounts(name).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: name}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.AppsV1().Deployments(name).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
				Spec: corev1.PodSpec{ServiceAccountName: name, Containers: []corev1.Container{{
					Name: name, Image: "localhost/cert-manager:test", ImagePullPolicy: corev1.PullNever,
				}}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, "cert-manager's Pod", func(ctx context.Context) error {
		deployment, err := c.typed.AppsV1().Deployments(name).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if deployment.Status.ReadyReplicas != 1 {
			return errors.New("it is not ready")
		}
		return nil
	})
}

// renewCertificate does what cmctl renew does, and waits until the kubelet has
// given the new certificate to every replica and each of them serves it.
func (c *cluster) renewCertificate(t *testing.T) {
	before, err := c.certificate(t.Context())
	require.NoError(t, err)
	eventually(t, "the request for another certificate", func(ctx context.Context) error {
		certificate, err := c.untyped.Resource(certificates).Namespace(chart.Namespace).Get(ctx, "extauth-guard", metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(certificate.Object, "status", "conditions")
		if err != nil {
			return err
		}
		conditions = append(conditions, map[string]any{
			"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "by a test",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
		if err := unstructured.SetNestedSlice(certificate.Object, conditions, "status", "conditions"); err != nil {
			return err
		}
		_, err = c.untyped.Resource(certificates).Namespace(chart.Namespace).UpdateStatus(ctx, certificate, metav1.UpdateOptions{})
		return err
	})
	eventually(t, "another certificate, served by every replica", func(ctx context.Context) error {
		now, err := c.certificate(ctx)
		if err != nil {
			return err
		}
		if bytes.Equal(now, before) {
			return errors.New("cert-manager has not issued it")
		}
		return c.servedEverywhere(ctx, now)
	})
}

// certificate returns the serving certificate in the Secret, in DER.
func (c *cluster) certificate(ctx context.Context) ([]byte, error) {
	secret, err := c.typed.CoreV1().Secrets(chart.Namespace).Get(ctx, "extauth-guard-cert-manager-tls", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(secret.Data["tls.crt"])
	if block == nil {
		return nil, errors.New("the Secret has no certificate")
	}
	return block.Bytes, nil
}

// servedEverywhere says which replica serves another certificate.
func (c *cluster) servedEverywhere(ctx context.Context, want []byte) error {
	pods, err := c.webhooks(ctx)
	if err != nil {
		return err
	}
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the certificate itself is compared
	for _, pod := range pods {
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(pod.Status.PodIP, "9443"))
		if err != nil {
			return err
		}
		served := connection.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
		if err := connection.Close(); err != nil {
			return err
		}
		if !bytes.Equal(served, want) {
			return fmt.Errorf("%s serves another one", pod.Name)
		}
	}
	return nil
}
