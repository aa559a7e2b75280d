// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clientca_test has an API server show its own certificate to the webhook,
// which answers nobody else.
package clientca_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/clientcert"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// admissionConfiguration is what docs/security.md tells whoever runs the API server
// to write.
const admissionConfiguration = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %[1]s}
- name: ValidatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %[1]s}
`

func TestTheAPIServerShowsItsCertificate(t *testing.T) {
	directory := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(directory, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	authority, err := clientcert.NewAuthority("clients")
	require.NoError(t, err)
	certificate, key, err := authority.Sign("kube-apiserver-webhooks")
	require.NoError(t, err)
	user := map[string]any{"client-certificate": file("client.crt", certificate), "client-key": file("client.key", key)}
	kubeconfig, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Config", "users": []any{map[string]any{"name": "*", "user": user}}})
	require.NoError(t, err)
	admission := file("admission.yaml", fmt.Appendf(nil, admissionConfiguration, file("kubeconfig", kubeconfig)))

	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		CRDs:           []string{checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "config/crd/extauth-guard.io_extauthpolicies.yaml")},
		APIServerFlags: map[string][]string{"admission-control-config-file": {admission}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	binary, err := guard.Build(t.Context(), directory)
	require.NoError(t, err)
	require.NoError(t, plane.WriteKubeconfig(filepath.Join(directory, "admin")))
	settings, err := guard.Settings(t.Context(), filepath.Join(directory, "tls"))
	require.NoError(t, err)
	settings.Server.ClientCA, settings.Server.ClientNames = file("clients.crt", authority.PEM()), []string{"kube-apiserver-webhooks"}
	replica, err := guard.Run(t.Context(), binary, filepath.Join(directory, "admin"), directory, settings)
	require.NoError(t, err)
	t.Cleanup(replica.Stop)
	registration, err := guard.Registration(settings)
	require.NoError(t, err)
	require.NoError(t, guard.Register(t.Context(), plane.Config(), registration))

	client, err := dynamic.NewForConfig(plane.Config())
	require.NoError(t, err)
	rules := client.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}).Namespace("default")
	typo := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule", "metadata": map[string]any{"name": "web", "annotations": map[string]any{"extauth-guard.io/injet": "true"}},
		"spec": map[string]any{
			"hosts": []any{"web"}, "gateway": "kyma-system/kyma-gateway", "service": map[string]any{"name": "web", "port": int64(80)},
			"rules": []any{map[string]any{"path": "/*", "methods": []any{"GET"}, "noAuth": true}},
		},
	}}
	var last error
	require.Eventually(t, func() bool {
		_, last = rules.Create(t.Context(), typo, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last != nil
	}, 30*time.Second, 20*time.Millisecond, "the API server learns of a registration by a watch")
	require.True(t, apierrors.IsInvalid(last), "the webhook was asked and answered: %v", last)
	require.ErrorContains(t, last, "[InvalidAnnotation]")

	// Anybody else, who may even have the CA of the webhook.
	ca, err := os.ReadFile(filepath.Join(settings.Certificates.Directory, certs.CAFile))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca))
	asked, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))+"/validate-apirule", strings.NewReader("{}"))
	require.NoError(t, err)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}}).Do(asked)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	assert.Equal(t, http.StatusForbidden, answer.StatusCode)
}
