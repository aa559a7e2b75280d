// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/standin"
)

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
  port: 0
- name: slow
  port: 70000
  service: Broken
  timeout: 1m30.5s
`

// newIstioCR puts an Istio CR with the given spec.config in place, and removes
// what an earlier test left.
func newIstioCR(t *testing.T, c client.Client, config string) {
	t.Helper()
	for _, gvk := range []schema.GroupVersionKind{standin.IstioGVK()} {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(gvk)
		require.NoError(t, c.List(t.Context(), &list, client.InNamespace(standin.IstioKey().Namespace)))
		for i := range list.Items {
			require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), &list.Items[i])))
		}
	}
	require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: standin.MeshKey().Namespace, Name: standin.MeshKey().Name},
	})))
	createIstioCR(t, c, standin.IstioKey().Name, config)
}

func createIstioCR(t *testing.T, c client.Client, name, config string) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(standin.IstioGVK())
	object.SetNamespace(standin.IstioKey().Namespace)
	object.SetName(name)
	if config != "" {
		var parsed map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(config), &parsed))
		object.Object["spec"] = map[string]any{"config": parsed}
	}
	require.NoError(t, c.Create(t.Context(), object))
}

// startKyma runs a stand-in of Kyma's Istio module until the test ends.
func startKyma(t *testing.T, c client.Client) {
	t.Helper()
	untilEnd(t, func(ctx context.Context) { standin.RunIstioModule(ctx, c) })
}
