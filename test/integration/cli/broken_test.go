// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

const mesh = `extensionProviders:
- {name: oauth2-proxy, envoyExtAuthzHttp: {service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: "80"}}
`

// ward is a cluster with a healthy installation: the webhook beside the API
// server, and what it would have there.
type ward struct {
	stage
	typed kubernetes.Interface
}

func istioResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}
}

func newWard(t *testing.T) ward {
	t.Helper()
	s, plane := open(t)
	typed, err := kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	w := ward{s, typed}
	for _, name := range []string{"istio-system", "extauth-guard", "demo"} {
		_, err := typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	w.meshSays(t, mesh)
	w.istioStatus(t, "default", map[string]any{"state": "Ready"})
	_, err = typed.DiscoveryV1().EndpointSlices("oauth2-proxy").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "oauth2-proxy", Labels: map[string]string{discoveryv1.LabelServiceName: "oauth2-proxy"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	labels := map[string]string{"app.kubernetes.io/component": "webhook"}
	_, err = typed.AppsV1().Deployments("extauth-guard").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "webhook", Image: "x"}}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.available(t, 2)
	serveWebhooks(t, plane)
	return w
}

func (w ward) meshSays(t *testing.T, text string) {
	t.Helper()
	maps := w.typed.CoreV1().ConfigMaps("istio-system")
	_ = maps.Delete(t.Context(), "istio", metav1.DeleteOptions{})
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": text}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// istioStatus replaces the status of an Istio CR.
func (w ward) istioStatus(t *testing.T, name string, status map[string]any) {
	t.Helper()
	client := w.client.Resource(istioResource()).Namespace("kyma-system")
	cr, err := client.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	if cr.Object["status"] = status; status == nil {
		delete(cr.Object, "status")
	}
	_, err = client.UpdateStatus(t.Context(), cr, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// authorizers replaces those of the Istio CR, whatever uses them.
func (w ward) authorizers(t *testing.T, entries ...any) {
	t.Helper()
	client := w.client.Resource(istioResource()).Namespace("kyma-system")
	cr, err := client.Get(t.Context(), "default", metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedSlice(cr.Object, entries, "spec", "config", "authorizers"))
	_, err = client.Update(t.Context(), cr, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// mayRemove annotates the Istio CR until the test ends.
func (w ward) mayRemove(t *testing.T, name string) {
	t.Helper()
	client := w.client.Resource(istioResource()).Namespace("kyma-system")
	annotate := func(ctx context.Context, value any) {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation.AllowRemoval: value}}})
		require.NoError(t, err)
		_, err = client.Patch(ctx, "default", types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
	}
	annotate(t.Context(), annotation.Removal{Authorizer: name, Until: time.Now().Add(time.Hour)}.String())
	t.Cleanup(func() { annotate(context.WithoutCancel(t.Context()), nil) })
}

func entry(changes map[string]any) map[string]any {
	all := map[string]any{"name": "oauth2-proxy", "service": "oauth2-proxy.oauth2-proxy.svc.cluster.local", "port": int64(80), "pathPrefix": "/verify?original="}
	for key, value := range changes {
		if value == nil {
			delete(all, key)
			continue
		}
		all[key] = value
	}
	return all
}

func (w ward) available(t *testing.T, count int32) {
	t.Helper()
	deployments := w.typed.AppsV1().Deployments("extauth-guard")
	deployment, err := deployments.Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	deployment.Status.AvailableReplicas, deployment.Status.ReadyReplicas, deployment.Status.Replicas = count, count, 2
	_, err = deployments.UpdateStatus(t.Context(), deployment, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// caller changes where all webhooks are, and puts it back afterwards.
func (w ward) caller(t *testing.T, change func(*admissionregistrationv1.WebhookClientConfig)) {
	t.Helper()
	api := w.typed.AdmissionregistrationV1()
	mutating, err := api.MutatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	validating, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	w.restoring(t, mutating, validating)
	broken, alsoBroken := mutating.DeepCopy(), validating.DeepCopy()
	for i := range broken.Webhooks {
		change(&broken.Webhooks[i].ClientConfig)
	}
	for i := range alsoBroken.Webhooks {
		change(&alsoBroken.Webhooks[i].ClientConfig)
	}
	_, err = api.MutatingWebhookConfigurations().Update(t.Context(), broken, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = api.ValidatingWebhookConfigurations().Update(t.Context(), alsoBroken, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// restoring puts both configurations back at the end of a test.
func (w ward) restoring(t *testing.T, mutating *admissionregistrationv1.MutatingWebhookConfiguration, validating *admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	api := w.typed.AdmissionregistrationV1()
	t.Cleanup(func() {
		mutating, validating := mutating.DeepCopy(), validating.DeepCopy()
		mutating.ObjectMeta, validating.ObjectMeta = metav1.ObjectMeta{Name: "extauth-guard"}, metav1.ObjectMeta{Name: "extauth-guard"}
		background := context.WithoutCancel(t.Context())
		_ = api.MutatingWebhookConfigurations().Delete(background, "extauth-guard", metav1.DeleteOptions{})
		_ = api.ValidatingWebhookConfigurations().Delete(background, "extauth-guard", metav1.DeleteOptions{})
		_, err := api.MutatingWebhookConfigurations().Create(background, mutating, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = api.ValidatingWebhookConfigurations().Create(background, validating, metav1.CreateOptions{})
		require.NoError(t, err)
	})
}

// without deletes configurations until the end of the test.
func (w ward) without(t *testing.T, mutating, validating bool) {
	t.Helper()
	api := w.typed.AdmissionregistrationV1()
	first, err := api.MutatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	second, err := api.ValidatingWebhookConfigurations().Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	w.restoring(t, first, second)
	if mutating {
		require.NoError(t, api.MutatingWebhookConfigurations().Delete(t.Context(), "extauth-guard", metav1.DeleteOptions{}))
	}
	if validating {
		require.NoError(t, api.ValidatingWebhookConfigurations().Delete(t.Context(), "extauth-guard", metav1.DeleteOptions{}))
	}
}

// waiting makes a Pod of the webhook that waits for something.
func (w ward) waiting(t *testing.T, status corev1.PodStatus) {
	t.Helper()
	pods := w.typed.CoreV1().Pods("extauth-guard")
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard-1", Labels: map[string]string{"app.kubernetes.io/component": "webhook"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "webhook", Image: "ghcr.io/none:0"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	pod.Status = status
	_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.available(t, 0)
	t.Cleanup(func() {
		require.NoError(t, pods.Delete(context.WithoutCancel(t.Context()), "extauth-guard-1", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}))
	})
}

func container(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "webhook", Image: "ghcr.io/none:0", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
	}}}
}

// expired serves a certificate that ended yesterday, and returns its address and
// its authority.
func expired(t *testing.T) (url string, bundle []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

type ailment struct {
	inflict func(t *testing.T, w ward)
	// check is the one that tells it, want what it says, hint what to do.
	check, status, want, hint string
}

func ailments() map[string]ailment {
	const (
		cr, inMesh, service, registered = "there is an active Istio CR and it is Ready", "the mesh configuration has every authorizer", "every authorizer has a ready Service", "both are registered"
		served, replicas                = "the served certificate is signed by the bundle and holds for a while", "two replicas are available"
	)
	return map[string]ailment{
		"no Istio CR": {func(t *testing.T, w ward) {
			istios := w.client.Resource(istioResource()).Namespace("kyma-system")
			kept, err := istios.Get(t.Context(), "default", metav1.GetOptions{})
			require.NoError(t, err)
			require.NoError(t, istios.Delete(t.Context(), "default", metav1.DeleteOptions{}))
			t.Cleanup(func() {
				kept.SetResourceVersion("")
				_, err := istios.Create(context.WithoutCancel(t.Context()), kept, metav1.CreateOptions{})
				require.NoError(t, err)
			})
		}, cr, "failed", "there is no Istio CR in the namespace kyma-system", "enable Kyma's Istio module; kubectl -n kyma-system get istios"},
		"an Istio CR without a status": {func(t *testing.T, w ward) { w.istioStatus(t, "default", nil) }, cr, "warning", "has no status yet", "Kyma's istio manager"},
		"an Istio CR in trouble": {func(t *testing.T, w ward) {
			w.istioStatus(t, "default", map[string]any{"state": "Error", "description": "boom"})
		}, cr, "failed", "is in the state Error: boom", "correct what the status of the Istio CR says"},
		"several Istio CRs": {func(t *testing.T, w ward) {
			_, err := w.create(t.Context(), parse(t, "apiVersion: operator.kyma-project.io/v1alpha2\nkind: Istio\nmetadata: {name: second, namespace: kyma-system}\nspec: {}\n")[0])
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, w.client.Resource(istioResource()).Namespace("kyma-system").Delete(context.WithoutCancel(t.Context()), "second", metav1.DeleteOptions{}))
			})
		}, cr, "warning", "there are 2 Istio CRs, and only the oldest counts", "delete all but the oldest"},
		"no mesh ConfigMap": {func(t *testing.T, w ward) {
			require.NoError(t, w.typed.CoreV1().ConfigMaps("istio-system").Delete(t.Context(), "istio", metav1.DeleteOptions{}))
		}, inMesh, "skipped", "not known: there is no ConfigMap istio-system/istio", ""},
		"a mesh ConfigMap that cannot be read": {func(t *testing.T, w ward) { w.meshSays(t, "extensionProviders: {") }, inMesh, "failed", "cannot be read", "the Istio module, which writes it"},
		"a mesh without the authorizer":        {func(t *testing.T, w ward) { w.meshSays(t, "extensionProviders: []") }, inMesh, "failed", "istio-system/istio lacks oauth2-proxy", "wait until the Istio module has applied"},
		"an authorizer without a Service": {func(t *testing.T, w ward) {
			w.authorizers(t, entry(map[string]any{"service": "gone.oauth2-proxy.svc.cluster.local"}))
		}, service, "failed", "there is no Service oauth2-proxy/gone", "start the authorizer"},
		"an authorizer with a wrong port":       {func(t *testing.T, w ward) { w.authorizers(t, entry(map[string]any{"port": int64(4180)})) }, service, "failed", "lacks the port", "correct its entry"},
		"an authorizer outside of the cluster":  {func(t *testing.T, w ward) { w.authorizers(t, entry(map[string]any{"service": "auth.example.com"})) }, service, "failed", "is not the host of a Service of this cluster", ""},
		"an authorizer without a ready replica": {func(t *testing.T, w ward) { w.notReady(t) }, service, "failed", "has no ready endpoint", "start the authorizer"},
		"an authorizer that may be removed":     {func(t *testing.T, w ward) { w.mayRemove(t, "oauth2-proxy") }, "none may be removed while APIRules use it", "warning", "until the time behind the name: oauth2-proxy@", "remove the annotation extauth-guard.io/allow-removal"},
		"an authorizer without a pathPrefix":    {func(t *testing.T, w ward) { w.authorizers(t, entry(map[string]any{"pathPrefix": nil})) }, "every authorizer has a pathPrefix", "warning", "oauth2-proxy lacks one", "/verify?original="},
		"an identity header that clients can send": {func(t *testing.T, w ward) {
			w.authorizers(t, entry(map[string]any{"headers": map[string]any{"toUpstream": map[string]any{"onAllow": []any{"x-auth-request-user"}}}}))
		}, "no client can send the identity headers that an authorizer sets", "warning", "a client that sends x-auth-request-user itself is believed", "have the ingress gateway refuse"},
		"no authorizer":                     {func(t *testing.T, w ward) { w.authorizers(t) }, service, "warning", "registers none", ""},
		"no MutatingWebhookConfiguration":   {func(t *testing.T, w ward) { w.without(t, true, false) }, registered, "failed", "the MutatingWebhookConfiguration extauth-guard is gone: nothing is injected", "helm upgrade brings back what is gone"},
		"no ValidatingWebhookConfiguration": {func(t *testing.T, w ward) { w.without(t, false, true) }, registered, "failed", "the ValidatingWebhookConfiguration extauth-guard is gone: nothing is refused", "helm upgrade brings back what is gone"},
		"neither, and replicas":             {func(t *testing.T, w ward) { w.without(t, true, true) }, registered, "failed", "both webhook configurations are gone: nothing is injected or refused", "helm upgrade brings back what is gone"},
		"no CA bundle": {func(t *testing.T, w ward) {
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.CABundle = nil })
		}, "their CA bundles hold for a while", "failed", "has no CA bundle", "the webhook writes it when it has started"},
		"a CA bundle of somebody else": {func(t *testing.T, w ward) {
			_, foreign := expired(t)
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.CABundle = foreign })
		}, served, "failed", "signed by unknown authority", "writes its CA bundle again"},
		"a certificate that expired": {func(t *testing.T, w ward) {
			url, bundle := expired(t)
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.URL, c.CABundle = new(url), bundle })
		}, served, "failed", "certificate has expired", ""},
		"a webhook that is dead": {func(t *testing.T, w ward) {
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.URL = new("https://127.0.0.1:1/x") })
		}, served, "failed", "127.0.0.1:1 does not answer", "start the webhook"},
		"a webhook that is dead, as a writer sees it": {func(t *testing.T, w ward) {
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.URL = new("https://127.0.0.1:1/x") })
		}, "an unknown authorizer is refused", "failed", "connection refused", "nobody listens where the API server asks"},
		"no Service": {func(t *testing.T, w ward) {
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) { c.URL, c.Service = nil, reference("gone") })
		}, served, "failed", "there is no Service extauth-guard/gone", "helm upgrade brings it back"},
		"no ready Pod": {func(t *testing.T, w ward) {
			w.service(t)
			w.caller(t, func(c *admissionregistrationv1.WebhookClientConfig) {
				c.URL, c.Service = nil, reference("extauth-guard")
			})
		}, served, "failed", "the Service extauth-guard/extauth-guard has no ready Pod", "no replica answers: kubectl -n extauth-guard get pods,events"},
		"one replica": {func(t *testing.T, w ward) { w.available(t, 1) }, replicas, "warning", "1 of 2 replicas available", "set replicas to 2"},
		"an image that cannot be pulled": {
			func(t *testing.T, w ward) { w.waiting(t, container("ImagePullBackOff", "not found")) },
			replicas, "failed", "0 of 2 replicas available: the image ghcr.io/none:0 cannot be pulled", "set image.repository and image.tag",
		},
		"a replica that stops by itself": {
			func(t *testing.T, w ward) { w.waiting(t, container("CrashLoopBackOff", "")) },
			replicas, "failed", "stops by itself, again and again", "logs extauth-guard-1 --previous",
		},
		"a configuration that is missing": {func(t *testing.T, w ward) {
			w.waiting(t, container("CreateContainerConfigError", `configmap "extauth-guard" not found`))
		}, replicas, "failed", `lacks something: configmap "extauth-guard" not found`, "helm upgrade brings back"},
		"no node": {func(t *testing.T, w ward) {
			w.waiting(t, corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}})
		}, replicas, "failed", "has no node: 0/3 nodes are available", "make room on a node"},
		"the job of an earlier version": {func(t *testing.T, w ward) {
			_, err := w.typed.BatchV1().Jobs("extauth-guard").Create(t.Context(), &batchv1.Job{
				ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard-unregister"},
				Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "x", Image: "x"}},
				}}},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, w.typed.BatchV1().Jobs("extauth-guard").Delete(context.WithoutCancel(t.Context()), "extauth-guard-unregister", metav1.DeleteOptions{}))
			})
		}, "nothing of an earlier version is left", "failed", "removes the webhook configurations whenever it runs", "delete job,serviceaccount extauth-guard-unregister"},
	}
}

func reference(name string) *admissionregistrationv1.ServiceReference {
	return &admissionregistrationv1.ServiceReference{Namespace: "extauth-guard", Name: name, Path: new("/x"), Port: ptr.To[int32](443)}
}

func (w ward) service(t *testing.T) {
	t.Helper()
	_, err := w.typed.CoreV1().Services("extauth-guard").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "extauth-guard"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 443}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, w.typed.CoreV1().Services("extauth-guard").Delete(context.WithoutCancel(t.Context()), "extauth-guard", metav1.DeleteOptions{}))
	})
}

// notReady takes the authorizer's endpoint away until the end of the test.
func (w ward) notReady(t *testing.T) {
	t.Helper()
	set := func(ready string) []byte {
		return []byte(`{"endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":` + ready + `}}]}`)
	}
	slices := w.typed.DiscoveryV1().EndpointSlices("oauth2-proxy")
	_, err := slices.Patch(t.Context(), "oauth2-proxy", types.MergePatchType, set("false"), metav1.PatchOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := slices.Patch(context.WithoutCancel(t.Context()), "oauth2-proxy", types.MergePatchType, set("true"), metav1.PatchOptions{})
		require.NoError(t, err)
	})
}

// Each broken installation is told from all others, by the one check that fails for
// it and its way out. A healthy one passes all of these checks.
func TestEveryBrokenInstallationIsToldApart(t *testing.T) {
	w := newWard(t)
	healthy := w.checks(t)
	for name, tc := range ailments() {
		assert.Equal(t, "passed", healthy[tc.check].Status, "%s, while nothing is broken: %s", name, healthy[tc.check].Detail)
	}
	require.GreaterOrEqual(t, len(ailments()), 20)
	for name, tc := range ailments() {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { w.heal(t) })
			tc.inflict(t, w)
			var got checked
			// The API server takes a moment to see what it asks whom.
			assert.Eventually(t, func() bool {
				got = w.checks(t)[tc.check]
				return got.Status == tc.status
			}, 10*time.Second, 50*time.Millisecond)
			assert.Equal(t, tc.status, got.Status, "%s; all: %v", got.Detail, w.checks(t))
			assert.Contains(t, got.Detail, tc.want)
			assert.Contains(t, got.Hint, tc.hint)
		})
	}
}

// heal puts back what every case may change.
func (w ward) heal(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	maps := w.typed.CoreV1().ConfigMaps("istio-system")
	_ = maps.Delete(ctx, "istio", metav1.DeleteOptions{})
	_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": mesh}}, metav1.CreateOptions{})
	require.NoError(t, err)
	client := w.client.Resource(istioResource()).Namespace("kyma-system")
	cr, err := client.Get(ctx, "default", metav1.GetOptions{})
	if err == nil {
		require.NoError(t, unstructured.SetNestedSlice(cr.Object, []any{entry(nil)}, "spec", "config", "authorizers"))
		cr, err = client.Update(ctx, cr, metav1.UpdateOptions{})
		require.NoError(t, err)
		cr.Object["status"] = map[string]any{"state": "Ready"}
		_, err = client.UpdateStatus(ctx, cr, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	deployments := w.typed.AppsV1().Deployments("extauth-guard")
	deployment, err := deployments.Get(ctx, "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	deployment.Status.AvailableReplicas, deployment.Status.ReadyReplicas = 2, 2
	_, err = deployments.UpdateStatus(ctx, deployment, metav1.UpdateOptions{})
	require.NoError(t, err)
}

type checked struct{ Name, Status, Detail, Hint string }

// checks runs kubectl extauth check and returns its results by name.
func (w ward) checks(t *testing.T) map[string]checked {
	t.Helper()
	_, stdout, stderr := w.run(t, "", "check", "-o", "json", "--dry-run-namespace", "demo")
	var list []checked
	require.NoError(t, json.Unmarshal([]byte(stdout), &list), stderr)
	all := map[string]checked{}
	for _, one := range list {
		all[one.Name] = one
	}
	return all
}
