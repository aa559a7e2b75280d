// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func istioKey() types.NamespacedName {
	return types.NamespacedName{Namespace: "kyma-system", Name: "default"}
}

func meshKey() types.NamespacedName {
	return types.NamespacedName{Namespace: "istio-system", Name: "istio"}
}

func istioGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "operator.kyma-project.io", Version: "v1alpha2", Kind: "Istio"}
}

// foreign is what others have in the Istio CR, some of it odd. The job must leave
// every byte of it as it is.
const foreign = `
numTrustedProxies: 3
authorizers:
- name: corp
  service: authz.corp.svc.cluster.local
  port: 9000
  headers:
    inCheck:
      include: [x-corp]
      add: {x-b: "2", x-a: "1"}
- name: ""
  port: -1
- name: slow
  port: 70000
  service: Broken
  timeout: soon
`

// newIstioCR puts an Istio CR with the given spec.config in place, and removes
// what an earlier test left.
func newIstioCR(t *testing.T, c client.Client, config string) {
	t.Helper()
	for _, gvk := range []schema.GroupVersionKind{istioGVK()} {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(gvk)
		require.NoError(t, c.List(t.Context(), &list, client.InNamespace(istioKey().Namespace)))
		for i := range list.Items {
			require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), &list.Items[i])))
		}
	}
	require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: meshKey().Namespace, Name: meshKey().Name},
	})))
	createIstioCR(t, c, istioKey().Name, config)
}

func createIstioCR(t *testing.T, c client.Client, name, config string) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(istioGVK())
	object.SetNamespace(istioKey().Namespace)
	object.SetName(name)
	if config != "" {
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(config), &parsed))
		object.Object["spec"] = map[string]any{"config": parsed}
	}
	require.NoError(t, c.Create(t.Context(), object))
}

// startKyma does what Kyma's Istio module does with authorizers: it copies them
// into the mesh configuration, or stops with a Warning if a name is there twice
// (Kyma istio, internal/validation/validation.go).
func startKyma(t *testing.T, c client.Client) {
	t.Helper()
	loop(t, func(ctx context.Context) error { return reconcileKyma(ctx, c) })
}

func reconcileKyma(ctx context.Context, c client.Client) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(istioGVK())
	if err := c.Get(ctx, istioKey(), object); err != nil {
		return err
	}
	list, _, _ := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
	providers := []any{map[string]any{"name": "kyma-logs", "envoyOtelAls": map[string]any{}}}
	seen := map[string]bool{}
	for _, entry := range list {
		authorizer, _ := entry.(map[string]any)
		name, _ := authorizer["name"].(string)
		if seen[name] {
			return setState(ctx, c, object, "Warning", "Authorizer name needs to be unique: "+name+" is duplicated")
		}
		seen[name] = true
		providers = append(providers, map[string]any{"name": name, "envoyExtAuthzHttp": map[string]any{"service": authorizer["service"], "port": authorizer["port"]}})
	}
	mesh, err := yaml.Marshal(map[string]any{"trustDomain": "cluster.local", "extensionProviders": providers})
	if err != nil {
		return err
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: meshKey().Namespace, Name: meshKey().Name}}
	err = c.Get(ctx, meshKey(), configMap)
	configMap.Data = map[string]string{"mesh": string(mesh)}
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, configMap)
	case err == nil:
		err = c.Update(ctx, configMap)
	}
	if err != nil {
		return err
	}
	return setState(ctx, c, object, "Ready", "Istio installation succeeded")
}

func setState(ctx context.Context, c client.Client, object *unstructured.Unstructured, state, description string) error {
	if have, _, _ := unstructured.NestedString(object.Object, "status", "state"); have == state {
		return nil
	}
	before := object.DeepCopy()
	object.Object["status"] = map[string]any{"state": state, "description": description}
	return c.Status().Patch(ctx, object, client.MergeFrom(before))
}
