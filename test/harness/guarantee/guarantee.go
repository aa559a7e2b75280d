// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guarantee installs the ValidatingAdmissionPolicies of the chart in a control
// plane, and says to them what the leader would.
package guarantee

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// Resources of the policies and of their bindings.
const (
	Policies = "validatingadmissionpolicies"
	Bindings = "validatingadmissionpolicybindings"
)

// Objects are the policies with their bindings, as the chart renders them.
func Objects() ([]*unstructured.Unstructured, error) {
	rendering, err := chart.Render(chart.Options{Values: map[string]any{"guarantee": map[string]any{"enabled": true}, "webhooks": map[string]any{"pinServiceAccount": false}}})
	if err != nil {
		return nil, err
	}
	all, err := rendering.Installed()
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, object := range all {
		if strings.HasPrefix(object.GetKind(), "ValidatingAdmissionPolicy") {
			objects = append(objects, object)
		}
	}
	// The bindings come last, and of those the ones by which [Install] sees that the
	// policies are enforced.
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return cmp.Compare(order(a), order(b)) })
	return objects, nil
}

func order(object *unstructured.Unstructured) int {
	switch name, _, _ := unstructured.NestedString(object.Object, "spec", "policyName"); {
	case Resource(object).Resource == Policies:
		return 0
	case !strings.HasPrefix(name, "apirules."):
		return 1
	}
	return 2
}

// Resource is that of a policy or a binding.
func Resource(object *unstructured.Unstructured) schema.GroupVersionResource {
	resource := Policies
	if strings.HasSuffix(object.GetKind(), "Binding") {
		resource = Bindings
	}
	return object.GroupVersionKind().GroupVersion().WithResource(resource)
}

// Install makes the policies and the ConfigMap with the given content, and waits until
// the API server enforces them in a namespace, which has to exist.
func Install(ctx context.Context, config *rest.Config, namespace string, data map[string]string) error {
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := Publish(ctx, config, data); err != nil {
		return err
	}
	objects, err := Objects()
	if err != nil {
		return err
	}
	for _, object := range objects {
		if _, err := untyped.Resource(Resource(object)).Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			return fmt.Errorf("making the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return enforced(ctx, untyped, namespace)
}

// Publish makes the namespace and the ConfigMap, or replaces its content.
func Publish(ctx context.Context, config *rest.Config, data map[string]string) error {
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: chart.Namespace}}
	if _, err := typed.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: guarantee.ConfigMap, Namespace: chart.Namespace}, Data: data}
	_, err = typed.CoreV1().ConfigMaps(chart.Namespace).Create(ctx, object, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = typed.CoreV1().ConfigMaps(chart.Namespace).Update(ctx, object, metav1.UpdateOptions{})
	}
	return err
}

// enforced waits until an APIRule with a wrong annotation is refused by the policies.
func enforced(ctx context.Context, untyped dynamic.Interface, namespace string) error {
	probe := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"name": "probe", "namespace": namespace, "annotations": map[string]any{annotation.Inject: "maybe"}},
		"spec": map[string]any{
			"hosts": []any{"probe.example.com"}, "gateway": "kyma-system/kyma-gateway", "service": map[string]any{"name": "probe", "port": int64(80)},
			"rules": []any{map[string]any{"path": "/*", "methods": []any{"GET"}, "noAuth": true}},
		},
	}}
	apirules := untyped.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}).Namespace(namespace)
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, last = apirules.Create(ctx, probe.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last != nil && strings.Contains(last.Error(), "ValidatingAdmissionPolicy"), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the policies: %w; last: %w", err, last)
	}
	return nil
}
