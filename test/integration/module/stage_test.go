// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package module_test installs extauth-guard as a community module of Kyma on a real
// API server, runs it under the permissions that the manifest gives it, and looks at
// what its ExtAuthGuard says.
package module_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kymamodule"
)

const patience, glance = 30 * time.Second, 50 * time.Millisecond

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard()) // a CRD that is not there is what some tests want
	os.Exit(m.Run())
}

// stage is a control plane with Kyma's CRDs, an Istio CR, and an authorizer that
// answers. Nothing of extauth-guard is there.
type stage struct {
	plane     *controlplane.ControlPlane
	typed     kubernetes.Interface
	untyped   dynamic.Interface
	directory string
	local     config.WebhookConfig
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{directory: t.TempDir()}
	var err error
	s.plane, err = controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{
		checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "test/testdata/crds/optional"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.plane.Stop()) })
	require.NoError(t, s.plane.WriteKubeconfig(s.kubeconfig()))
	settings := s.plane.Config()
	settings.QPS, settings.WarningHandler = -1, rest.NoWarnings{}
	s.typed, err = kubernetes.NewForConfig(settings)
	require.NoError(t, err)
	s.untyped, err = dynamic.NewForConfig(settings)
	require.NoError(t, err)
	s.local, err = guard.Settings(t.Context(), t.TempDir())
	require.NoError(t, err)
	for _, name := range []string{"kyma-system", "istio-system", "oauth2-proxy", "shop"} {
		_, err := s.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{"istio-injection": "enabled"},
		}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	s.istio(t, "default")
	_, err = s.typed.CoreV1().Services("oauth2-proxy").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "oauth2-proxy"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "oauth2-proxy"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	s.endpoint(t, "oauth2-proxy", "oauth2-proxy", true)
	return s
}

func (s *stage) kubeconfig() string { return filepath.Join(s.directory, "kubeconfig") }

// istio creates an Istio CR with two authorizers, of one Service.
func (s *stage) istio(t *testing.T, name string) {
	t.Helper()
	s.apply(t, fmt.Sprintf(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: %s, namespace: kyma-system}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
		{name: corp, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/corp?original="}]}}}`, name))
}

// endpoint says whether a Service has an endpoint that is ready.
func (s *stage) endpoint(t *testing.T, namespace, service string, ready bool) {
	t.Helper()
	s.apply(t, fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[2]s, namespace: %[1]s, labels: {%[4]s: %[2]s}},
		addressType: IPv4, endpoints: [{addresses: [192.0.2.1], conditions: {ready: %[3]t}}], ports: [{port: 80}]}`, namespace, service, ready, discoveryv1.LabelServiceName))
}

// manifest is what a release has, with one change: the Service leads to the loopback
// and the webhooks name the port there, because nobody runs the Pods.
func (s *stage) manifest(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	files, err := kymamodule.Files(kymamodule.Release{Version: "1.2.3"})
	require.NoError(t, err)
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(string(files[kymamodule.ManifestFile]), "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object.Object))
		switch object.GetKind() {
		case "Service":
			object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			for _, hook := range object.Object["webhooks"].([]any) {
				require.NoError(t, unstructured.SetNestedField(hook.(map[string]any), int64(s.local.Server.Port), "clientConfig", "service", "port"))
			}
		}
		objects = append(objects, object)
	}
	return objects
}

// kubectl runs kubectl with objects as its input.
func (s *stage) kubectl(t *testing.T, objects []*unstructured.Unstructured, args ...string) {
	t.Helper()
	var input bytes.Buffer
	for _, object := range objects {
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		input.WriteString("---\n")
		input.Write(raw)
	}
	command := exec.CommandContext(t.Context(), s.plane.Kubectl(), append([]string{"--kubeconfig", s.kubeconfig()}, args...)...)
	command.Stdin = &input
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// byDashboard installs as Kyma's dashboard does: each object by itself, CRDs first and
// established, then Namespaces, then the rest.
func (s *stage) byDashboard(t *testing.T) {
	t.Helper()
	turn := map[string]int{"CustomResourceDefinition": 0, "Namespace": 1}
	turns := make([][]*unstructured.Unstructured, 3)
	for _, object := range s.manifest(t) {
		at, first := turn[object.GetKind()]
		if !first {
			at = 2
		}
		turns[at] = append(turns[at], object)
	}
	s.kubectl(t, turns[0], "apply", "-f", "-")
	s.kubectl(t, nil, "wait", "--for=condition=established", "--timeout=30s", "crd/extauthguards.extauth-guard.io", "crd/extauthpolicies.extauth-guard.io")
	for _, object := range append(turns[1], turns[2]...) {
		s.kubectl(t, []*unstructured.Unstructured{object}, "apply", "-f", "-")
	}
}

// run starts a replica as the manifest configures it, under the permissions that the
// manifest gives its ServiceAccount, and returns a function that ends it.
func (s *stage) run(t *testing.T, changes ...func(*config.WebhookConfig)) (stop func()) {
	t.Helper()
	written, err := s.typed.CoreV1().ConfigMaps(chart.Namespace).Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	settings, err := config.LoadWebhook([]byte(written.Data["config.yaml"]))
	require.NoError(t, err)
	require.Equal(t, config.Module{Enabled: true, Namespace: chart.Namespace}, settings.Module)
	settings.Server, settings.Probes, settings.Metrics = s.local.Server, s.local.Probes, s.local.Metrics
	for _, change := range changes {
		change(&settings)
	}
	manager, err := serve.NewManager(s.plane.AsServiceAccount(chart.Namespace, "extauth-guard"), settings, logr.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	ready, cancelReady := context.WithTimeout(t.Context(), patience)
	defer cancelReady()
	require.NoError(t, guard.Ready(ready, settings))
	return stop
}

func (s *stage) guards(namespace string) dynamic.ResourceInterface {
	return s.untyped.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.GuardResource)).Namespace(namespace)
}

// guard returns an ExtAuthGuard.
func (s *stage) guard(ctx context.Context, namespace, name string) (v1alpha1.ExtAuthGuard, error) {
	var typed v1alpha1.ExtAuthGuard
	object, err := s.guards(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return typed, err
	}
	return typed, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &typed)
}

// reaches waits until an ExtAuthGuard has a state, and a condition a reason with a
// message.
func (s *stage) reaches(t *testing.T, namespace, name string, state v1alpha1.State, kind, reason, message string) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool {
		found, err := s.guard(t.Context(), namespace, name)
		if err != nil {
			last = err.Error()
			return false
		}
		condition := ptr.Deref(meta.FindStatusCondition(found.Status.Conditions, kind), metav1.Condition{})
		raw, err := yaml.Marshal(found.Status)
		require.NoError(t, err)
		last = string(raw)
		return found.Status.State == state && found.Status.ObservedGeneration == found.Generation &&
			condition.Reason == reason && strings.Contains(condition.Message, message)
	}, patience, glance, "%s/%s: %s %s %q, but %s", namespace, name, state, reason, message, seen{&last})
}

// seen prints what a text is when it is printed.
type seen struct{ text *string }

func (s seen) String() string { return *s.text }

func (s *stage) ready(t *testing.T) {
	t.Helper()
	s.reaches(t, chart.Namespace, v1alpha1.GuardName, v1alpha1.StateReady, "Ready", "Ready", "everything works")
}

// policy writes spec.policy of the one that counts.
func (s *stage) policy(t *testing.T, policy string) error {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte("{spec: {policy: " + policy + "}}"))
	require.NoError(t, err)
	_, err = s.guards(chart.Namespace).Patch(t.Context(), v1alpha1.GuardName, types.MergePatchType, raw, metav1.PatchOptions{})
	return err
}

// injects waits until an annotated APIRule comes back with an authorizer.
func (s *stage) injects(t *testing.T, authorizer string) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool { last = s.injected(t.Context()); return last == authorizer }, patience, glance, "%s, but %s", authorizer, seen{&last})
}

// injected returns what is injected now, or what was in the way.
func (s *stage) injected(ctx context.Context) string {
	rule := object(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: try, namespace: shop, annotations: {extauth-guard.io/inject: "true"}},
		spec: {hosts: [try.example.com], gateway: kyma-system/kyma-gateway, service: {name: try, port: 80}, rules: [{path: /*, methods: [GET]}]}}`)
	stored, err := s.at(rule).Create(ctx, rule, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error()
	}
	rules, _, err := unstructured.NestedSlice(stored.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		return fmt.Sprint(rules, err)
	}
	authorizers, _, err := unstructured.NestedStringSlice(rules[0].(map[string]any), "extAuth", "authorizers")
	if err != nil {
		return err.Error()
	}
	return strings.Join(authorizers, ",")
}

// apply applies an object as a user would.
func (s *stage) apply(t *testing.T, text string) {
	t.Helper()
	one := object(text)
	_, err := s.at(one).Apply(t.Context(), one.GetName(), one, metav1.ApplyOptions{FieldManager: "test", Force: true})
	require.NoError(t, err)
}

func (s *stage) remove(t *testing.T, text string) {
	t.Helper()
	one := object(text)
	require.NoError(t, s.at(one).Delete(t.Context(), one.GetName(), metav1.DeleteOptions{}))
}

func object(text string) *unstructured.Unstructured {
	one := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &one.Object); err != nil {
		panic(err)
	}
	return one
}

// at returns the client for an object.
func (s *stage) at(object *unstructured.Unstructured) dynamic.ResourceInterface {
	kind := object.GroupVersionKind()
	resource := strings.ToLower(kind.Kind) + "s"
	if strings.HasSuffix(kind.Kind, "y") {
		resource = strings.TrimSuffix(resource, "ys") + "ies"
	}
	client := s.untyped.Resource(schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: resource})
	if object.GetNamespace() == "" {
		return client
	}
	return client.Namespace(object.GetNamespace())
}
