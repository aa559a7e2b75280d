// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

const (
	inject      = annotation.Inject
	authorizers = annotation.Authorizers

	patience = 2 * time.Minute
	glance   = 500 * time.Millisecond
)

// scene is one step's view of the cluster.
type scene struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the step
	typed   kubernetes.Interface
	untyped dynamic.Interface
}

func newScene(ctx context.Context, t *testing.T, config *envconf.Config) *scene {
	t.Helper()
	settings := rest.CopyConfig(config.Client().RESTConfig())
	settings.WarningHandler = rest.NoWarnings{}
	s := &scene{ctx: ctx}
	var err error
	s.typed, err = kubernetes.NewForConfig(settings)
	require.NoError(t, err)
	s.untyped, err = dynamic.NewForConfig(settings)
	require.NoError(t, err)
	return s
}

// namespace makes a namespace that goes when the step ends well.
func (s *scene) namespace(t *testing.T, annotations map[string]string) string {
	t.Helper()
	made, err := s.typed.CoreV1().Namespaces().Create(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "extauth-e2e-", Annotations: annotations, Labels: map[string]string{"istio-injection": "enabled"},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left for looking at: namespace %s", made.Name)
			return
		}
		require.NoError(t, s.typed.CoreV1().Namespaces().Delete(context.WithoutCancel(s.ctx), made.Name, metav1.DeleteOptions{}))
	})
	return made.Name
}

func (s *scene) service(t *testing.T, namespace, name string, annotations map[string]string) {
	t.Helper()
	_, err := s.typed.CoreV1().Services(namespace).Create(s.ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (s *scene) apirules(namespace string) dynamic.ResourceInterface {
	return s.untyped.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}).Namespace(namespace)
}

func (s *scene) istios() dynamic.ResourceInterface {
	return s.untyped.Resource(schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}).Namespace("kyma-system")
}

// istio returns the active Istio CR, which is the oldest.
func (s *scene) istio(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	list, err := s.istios().List(s.ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, list.Items, "there is no Istio CR in kyma-system")
	oldest := slices.MinFunc(list.Items, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	return &oldest
}

// names are the registered authorizers.
func (s *scene) names(t *testing.T) []string {
	t.Helper()
	list, _, err := unstructured.NestedSlice(s.istio(t).Object, "spec", "config", "authorizers")
	require.NoError(t, err)
	var names []string
	for _, entry := range list {
		name, _ := entry.(map[string]any)["name"].(string)
		names = append(names, name)
	}
	return names
}

// registered returns an authorizer that is registered: the default if it is.
func (s *scene) registered(t *testing.T) string {
	t.Helper()
	names := s.names(t)
	if len(names) == 0 {
		t.Skip("no authorizer is registered in the Istio CR: install with bootstrap.enabled, or register one")
	}
	if slices.Contains(names, "oauth2-proxy") {
		return "oauth2-proxy"
	}
	return names[0]
}

// standard returns the default authorizer, and skips where it is not registered.
func (s *scene) standard(t *testing.T) string {
	t.Helper()
	if name := s.registered(t); name != "oauth2-proxy" {
		t.Skipf("the default authorizer oauth2-proxy is not registered, only %q", s.names(t))
	}
	return "oauth2-proxy"
}

func (s *scene) create(t *testing.T, rule *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	var stored *unstructured.Unstructured
	// A Service or an annotation that is new may take a moment to be known.
	s.eventually(t, "the APIRule to be stored", func() (err error) {
		stored, err = s.apirules(rule.GetNamespace()).Create(s.ctx, rule, metav1.CreateOptions{})
		return err
	})
	return stored
}

func (s *scene) apply(t *testing.T, rule *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	stored, err := s.apirules(rule.GetNamespace()).Apply(s.ctx, rule.GetName(), rule.DeepCopy(), metav1.ApplyOptions{FieldManager: "extauth-e2e", Force: true})
	require.NoError(t, err)
	return stored
}

func (s *scene) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	var last error
	if !assertEventually(func() bool { last = try(); return last == nil }) {
		require.NoError(t, last, "waiting for %s", what)
	}
}

// assertEventually runs try here and not in another goroutine, so that a step may
// be skipped or failed from it.
func assertEventually(try func() bool) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		if try() {
			return true
		}
		pause := time.NewTimer(glance)
		select {
		case <-deadline.C:
			pause.Stop()
			return false
		case <-pause.C:
		}
	}
}

// apirule returns an APIRule with one rule for a Service of its own name.
func apirule(namespace, name string, annotations map[string]any, extAuth ...any) *unstructured.Unstructured {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if len(extAuth) > 0 {
		rule["extAuth"] = map[string]any{"authorizers": extAuth}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"name": name, "namespace": namespace, "annotations": annotations},
		"spec": map[string]any{
			"hosts": []any{fmt.Sprintf("%s.%s.example.com", name, namespace)}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": name, "port": int64(80)}, "rules": []any{rule},
		},
	}}
}

func authorizersOf(t *testing.T, rule *unstructured.Unstructured) []string {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(rule.Object, "spec", "rules")
	require.NoError(t, err)
	require.Len(t, rules, 1)
	names, _, err := unstructured.NestedStringSlice(rules[0].(map[string]any), "extAuth", "authorizers")
	require.NoError(t, err)
	return names
}
