// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/e2e-framework/pkg/env"

	"github.com/extauth-guard/extauth-guard/test/harness/e2e"
)

// TestMesh goes the way of the README on a real mesh: istiod, Envoys as ingress
// gateway and as sidecars, strict mutual TLS, oauth2-proxy. Kyma's two managers and
// the issuer are played.
func TestMesh(t *testing.T) {
	c := newCluster(t, kymaOnMesh, true)
	step := steps(t)
	step("Istio, with strict mutual TLS", c.istio)
	step("one helm install, with the bootstrap job and oauth2-proxy", c.installOnMesh)
	step("an application, exposed", c.demo)
	step("no token 401, a token 200", c.answers)
	step("kubectl extauth try, as the README shows it", c.readme)
	step("kubectl extauth probe", c.probe)
	step("what pkg/extauthz says, request by request", c.verdicts)
	step("what explain says of requests", c.explained)
	step("callers inside of the cluster", c.callers)
	step("two authorizers on one workload", c.conflict)
	step("an authorizer that the mesh has not", c.unknown)
	step("a proxy that is down, and comes back", c.proxyDown)
	step("certificates that are renewed under load", c.renewal)
	step("the end-to-end suite", c.endToEnd)
	step("the authorization-code flow instead", c.authorizationCode)
	step("people who sign in", c.people)
	step("clients that say who they are", c.shield)
	step("no Envoy refused what istiod sent", c.accepted)
}

// accepted insists that no Envoy refused a configuration; istiod logs the reason.
func (c *cluster) accepted(t *testing.T) {
	logs, err := exec.CommandContext(t.Context(), os.Getenv("EXTAUTH_KUBECTL"), "logs", "-n", "istio-system", "-l", "app=istiod", "--tail=-1").CombinedOutput()
	require.NoError(t, err, string(logs))
	require.Contains(t, string(logs), "ADS:", "istiod says what it sends")
	for line := range strings.Lines(string(logs)) {
		assert.NotContains(t, line, "ACK ERROR")
	}
}

// ownValues are those of our chart: those of the node suite.
func (c *cluster) ownValues(t *testing.T) map[string]any {
	t.Helper()
	return values(t, "image: {repository: localhost/extauth-guard, tag: test, pullPolicy: Never}\ntests: {namespace: shop}\n")
}

// installOnMesh installs our chart, with the real proxy.
func (c *cluster) installOnMesh(t *testing.T) {
	_, err := c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"istio-injection": "enabled"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	h := newHelm(t, c)
	h.install(t, c.withBootstrap(t, c.ownValues(t)))
	c.registered(t)
}

// demo runs two applications with sidecars, one with an APIRule that asks for
// protection and one that is open.
func (c *cluster) demo(t *testing.T) {
	for _, name := range []string{"demo", "open"} {
		c.app(t, name, true)
	}
	rule := apirule("demo", map[string]any{"extauth-guard.io/inject": "true"})
	open := apirule("open", nil)
	rules, _, err := unstructured.NestedSlice(open.Object, "spec", "rules")
	require.NoError(t, err)
	rules[0].(map[string]any)["noAuth"] = true
	require.NoError(t, unstructured.SetNestedSlice(open.Object, rules, "spec", "rules"))
	for _, each := range []*unstructured.Unstructured{rule, open} {
		_, err := c.untyped.Resource(apirules).Namespace(namespace).Create(t.Context(), each, metav1.CreateOptions{})
		require.NoError(t, err)
		c.apiruleReady(t, each.GetName())
	}
}

func (c *cluster) apiruleReady(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the APIRule "+name, func(ctx context.Context) error {
		stored, err := c.untyped.Resource(apirules).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if state, _, _ := unstructured.NestedString(stored.Object, "status", "state"); state != "Ready" {
			return fmt.Errorf("it is not Ready: %v", stored.Object["status"])
		}
		return nil
	})
}

// app runs an application, with a Service of its name, and waits until it is ready.
func (c *cluster) app(t *testing.T, name string, sidecar bool) {
	t.Helper()
	labels := map[string]string{"app": name}
	if !sidecar {
		labels["sidecar.istio.io/inject"] = "false"
	}
	_, err := c.typed.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "localhost/app:test", ImagePullPolicy: corev1.PullNever}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, "the Pod "+name, func(ctx context.Context) error {
		pod, err := c.typed.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("it is not ready: %s", pod.Status.Phase)
	})
}

// endToEnd runs the suite that also runs on a cluster with Kyma.
func (c *cluster) endToEnd(t *testing.T) {
	gateway, err := c.typed.CoreV1().Services("istio-system").Get(t.Context(), "istio-ingressgateway", metav1.GetOptions{})
	require.NoError(t, err)
	t.Setenv(e2e.AddressEnv, net.JoinHostPort(gateway.Spec.ClusterIP, "443"))
	t.Setenv(e2e.JWKSEnv, c.issuer.Issuer()+"/keys")
	c.outside(t)
	env.NewWithKubeConfig(c.kubeconfig).Test(t, e2e.Features()...)
}
