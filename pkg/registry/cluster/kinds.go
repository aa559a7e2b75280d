// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

var istioResource = schema.GroupVersionResource{Group: istio.Group, Version: istio.Version, Resource: istio.Resource}

func istioFeed(client dynamic.Interface, world *registry.World) (*feed, error) {
	example := &unstructured.Unstructured{}
	example.SetGroupVersionKind(schema.GroupVersionKind{Group: istio.Group, Version: istio.Version, Kind: istio.Kind})
	one, err := newFeed("Istio", untyped(client.Resource(istioResource).Namespace(istio.Namespace)), example,
		func(object *unstructured.Unstructured) istio.View { return istio.Parse(object.Object) },
		func(_ types.NamespacedName, view istio.View) { world.SetIstio(view) },
		world.DeleteIstio)
	return one, err
}

func serviceFeed(client kubernetes.Interface, world *registry.World) (*feed, error) {
	services := client.CoreV1().Services(metav1.NamespaceAll)
	from := lister{
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return services.List(ctx, options)
		},
		watch: services.Watch,
	}
	return newFeed("Service", from, &corev1.Service{}, serviceValue, world.SetService, world.DeleteService)
}

func namespaceFeed(client metadata.Interface, world *registry.World) (*feed, error) {
	namespaces := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	from := lister{
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return namespaces.List(ctx, options)
		},
		watch: namespaces.Watch,
	}
	return newFeed("Namespace", from, &metav1.PartialObjectMetadata{}, namespaceValue,
		func(name types.NamespacedName, namespace policy.Namespace) { world.SetNamespace(name.Name, namespace) },
		func(name types.NamespacedName) { world.DeleteNamespace(name.Name) })
}

func untyped(client dynamic.ResourceInterface) lister {
	return lister{
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return client.Watch(ctx, options)
		},
	}
}

func serviceValue(service *corev1.Service) policy.Service {
	return policy.Service{Annotations: annotation.Own(service.Annotations)}
}

func namespaceValue(namespace *metav1.PartialObjectMetadata) policy.Namespace {
	return policy.Namespace{Annotations: annotation.Own(namespace.Annotations)}
}
