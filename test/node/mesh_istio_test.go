// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// meshValues are what Kyma's Istio module sets, as far as it decides about requests,
// with two differences: the switches that keep istiod from sending extensions that
// only Istio's own build of Envoy has, and fewer resources.
const meshValues = `
global:
  hub: localhost
  tag: test
  imagePullPolicy: Never
  nativeNftables: true
  defaultPodDisruptionBudget: {enabled: false}
  proxy:
    resources: {requests: {cpu: 10m, memory: 40Mi}}
    readinessPeriodSeconds: 1
autoscaleEnabled: false
resources: {requests: {cpu: 50m, memory: 128Mi}}
telemetry: {enabled: false}
env:
  PILOT_ENABLE_ALPN_FILTER: "false"
  PILOT_ENABLE_METADATA_EXCHANGE: "false"
configMap: false # the Istio manager writes it
gateways:
  istio-ingressgateway:
    type: ClusterIP
    autoscaleEnabled: false
    resources: {requests: {cpu: 10m, memory: 40Mi}}
`

var (
	gateways        = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"}
	authorizations  = schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"}
	authentications = schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: "peerauthentications"}
)

// istio installs istiod and the ingress gateway by Istio's own charts, makes mutual
// TLS strict as Kyma's Istio module does, and opens kyma-gateway.
func (c *cluster) istio(t *testing.T) {
	t.Helper()
	folder := os.Getenv("EXTAUTH_ISTIO")
	require.NotEmpty(t, folder, "run make test-mesh, which gets Istio")
	_, err := envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(folder, "charts/base/files/crd-all.gen.yaml")}, ErrorIfPathMissing: true, CRDs: []*apiextensionsv1.CustomResourceDefinition{},
	})
	require.NoError(t, err)
	_, err = c.typed.CoreV1().ServiceAccounts("istio-system").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "istio-reader-service-account"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	all := values(t, meshValues)
	all["jwksResolverExtraRootCA"] = string(c.issuer.CA())
	helmFor(t, c, filepath.Join(folder, "charts/istio-control/istio-discovery"), "istiod", "istio-system").install(t, all)
	helmFor(t, c, filepath.Join(folder, "charts/gateways/istio-ingress"), "istio-ingressgateway", "istio-system").install(t, values(t, meshValues))
	c.apply(t, authentications, `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`)
	certificate, key, err := cert.GenerateSelfSignedCertKey("*.example.com", nil, nil)
	require.NoError(t, err)
	_, err = c.typed.CoreV1().Secrets("istio-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "kyma-gateway-certs"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.apply(t, gateways, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: kyma-gateway, namespace: kyma-system}
spec:
  selector: {app: istio-ingressgateway, istio: ingressgateway}
  servers:
    - hosts: ["*.example.com"]
      port: {name: https, number: 443, protocol: HTTPS}
      tls: {mode: SIMPLE, credentialName: kyma-gateway-certs}
    - hosts: ["*.example.com"]
      port: {name: http, number: 80, protocol: HTTP}
      tls: {httpsRedirect: true}
`)
}

// apply creates the object of a text, or gives it the text's spec.
func (c *cluster) apply(t *testing.T, resource schema.GroupVersionResource, text string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &object.Object))
	_, err := c.untyped.Resource(resource).Namespace(object.GetNamespace()).Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "mesh-suite", Force: true})
	require.NoError(t, err)
}
