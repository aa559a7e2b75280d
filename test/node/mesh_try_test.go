// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// readme insists that what the README shows is what kubectl extauth try prints here.
func (c *cluster) readme(t *testing.T) {
	out, err := c.try(t.Context(), t, "--issuer", c.issuer.Issuer(), "--ca-file", file(t, c.issuer.CA()), "--secret", "client")
	require.NoError(t, err, out)
	page, err := os.ReadFile(checkout.Path(t, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(page), out)
}

// probe asks the proxy that the job installed what strangers would, through the API
// server and the kubelet.
func (c *cluster) probe(t *testing.T) {
	var out bytes.Buffer
	err := cli.Run(t.Context(), []string{"probe", "oauth2-proxy", "--kubeconfig", c.kubeconfig}, cli.Streams{In: &bytes.Buffer{}, Out: &out, Err: &out})
	require.NoError(t, err, out.String())
	assert.Regexp(t, `: [1-9]\d+ requests without a credential, 0 got in\n`, out.String())
}

// try runs kubectl extauth try on the demo's host.
func (c *cluster) try(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	gateway, err := c.typed.CoreV1().Services("istio-system").Get(ctx, "istio-ingressgateway", metav1.GetOptions{})
	require.NoError(t, err)
	certificate, err := c.typed.CoreV1().Secrets("istio-system").Get(ctx, "kyma-gateway-certs", metav1.GetOptions{})
	require.NoError(t, err)
	var out bytes.Buffer
	err = cli.Run(ctx, append([]string{
		"try", "demo.example.com", "-n", "extauth-guard", "--kubeconfig", c.kubeconfig,
		"--gateway", net.JoinHostPort(gateway.Spec.ClusterIP, "443"), "--gateway-ca-file", file(t, certificate.Data[corev1.TLSCertKey]),
	}, args...), cli.Streams{In: &bytes.Buffer{}, Out: &out, Err: &out})
	return out.String(), err
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}
