// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node || mesh

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

const (
	// host is this machine, as the node sees it: the other end of a cable that
	// leads nowhere else.
	host = "10.200.0.1"
	// dnsService is where the kubelet tells Pods to look names up.
	dnsService = "10.96.0.10"
	patience   = 3 * time.Minute
	glance     = 200 * time.Millisecond
)

var (
	istios   = schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}
	apirules = schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// cluster is the node with everything around it that extauth-guard expects.
type cluster struct {
	kubeconfig string
	config     *rest.Config
	typed      kubernetes.Interface
	untyped    dynamic.Interface
	issuer     *oidcprovider.Provider
}

// newCluster prepares the node. What plays Kyma runs until the test ends. Where
// sidecars are injected, their init containers need more than our namespace grants
// otherwise.
func newCluster(t *testing.T, kyma func(ctx context.Context, c *cluster), sidecars bool) *cluster {
	t.Helper()
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG")}
	require.NotEmpty(t, c.kubeconfig, "run make test-node, which starts a node")
	var err error
	c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	require.NoError(t, err)
	c.config.QPS, c.config.WarningHandler = -1, rest.NoWarnings{}
	c.typed, err = kubernetes.NewForConfig(c.config)
	require.NoError(t, err)
	c.untyped, err = dynamic.NewForConfig(c.config)
	require.NoError(t, err)
	_, err = envtest.InstallCRDs(c.config, envtest.CRDInstallOptions{
		Paths: []string{checkout.Path(t, "pkg/crd/kyma")}, ErrorIfPathMissing: true, CRDs: []*apiextensionsv1.CustomResourceDefinition{},
	})
	require.NoError(t, err)
	for _, name := range []string{"kyma-system", "istio-system", chart.Namespace} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if name == chart.Namespace && !sidecars { // where nobody else's Pods are
			namespace.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
		}
		_, err = c.typed.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err = c.untyped.Resource(istios).Namespace("kyma-system").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio", "metadata": map[string]any{"name": "default"},
		"spec": map[string]any{"config": map[string]any{"authorizers": []any{map[string]any{
			"name": "corporate", "service": "authz.corporate.svc.cluster.local", "port": int64(9000), "pathPrefix": "/check",
		}}}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.resolve(t)
	t.Cleanup(func() {
		if t.Failed() {
			c.explain(t)
		}
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(stop)
	go kyma(ctx, c)
	c.issuer = oidcprovider.Start(t, oidcprovider.Options{
		Address: host + ":0", TLS: true, Clients: map[string]string{"shop": "hush"}, Redirects: []string{"https://oauth2-proxy.example.com/oauth2/callback"},
	})
	_, err = c.typed.CoreV1().Secrets("extauth-guard").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "client"},
		StringData: map[string]string{"client-id": "shop", "client-secret": "hush"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

// resolve gives the cluster a DNS: a Service without Pods that leads here.
func (c *cluster) resolve(t *testing.T) {
	t.Helper()
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", host+":0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- (&dns{client: c.typed, socket: socket}).serve(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() { require.NoError(t, errors.Join(socket.Close(), <-served)) })
	port := int32(socket.LocalAddr().(*net.UDPAddr).Port)
	_, err = c.typed.CoreV1().Services("kube-system").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-dns"},
		Spec:       corev1.ServiceSpec{ClusterIP: dnsService, Ports: []corev1.ServicePort{{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.DiscoveryV1().EndpointSlices("kube-system").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "kube-dns", Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("dns"), Protocol: ptr.To(corev1.ProtocolUDP), Port: new(port)}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{host}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// explain prints what a person would look at after a failure.
func (c *cluster) explain(t *testing.T) {
	t.Helper()
	for _, args := range []string{
		"get pods,jobs -A -o wide", "get events -A --sort-by=.lastTimestamp",
		"logs -n extauth-guard -l app.kubernetes.io/component=webhook --tail=20 --prefix",
		"logs -n extauth-guard -l app.kubernetes.io/component=bootstrap --tail=40 --prefix",
		"logs -n oauth2-proxy -l app=oauth2-proxy --tail=20 --prefix",
		"logs -n cert-manager -l app=cert-manager --tail=20 --prefix",
		"logs -n istio-system -l app=istiod --tail=40 --prefix",
		"logs -n istio-system -l app=istio-ingressgateway --tail=40 --prefix",
		"logs -n shop -l app --all-containers --tail=30 --prefix",
	} {
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "-c", os.Getenv("EXTAUTH_KUBECTL")+" "+args).CombinedOutput()
		t.Logf("%s: %v\n%s", args, err, out)
	}
}

// node runs hack/cluster/node/node.sh.
func (c *cluster) node(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), checkout.Path(t, "hack/cluster/node/node.sh"), args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// eventually waits until try succeeds, and fails with its last error.
func eventually(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	var last error
	require.Eventually(t, func() bool {
		last = try(t.Context())
		return last == nil
	}, patience, glance, "%s", lazily(func() string { return fmt.Sprintf("%s: %v", what, last) }))
}

type lazily func() string

func (l lazily) String() string { return l() }
