// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func istioResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: istio.Group, Version: istio.Version, Resource: istio.Resource}
}

// apiruleResource names the version in which APIRules are stored: reading it
// needs no call of Kyma's conversion webhook. Its spec has the same shape as
// that of v2.
func apiruleResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: apirule.Group, Version: "v2alpha1", Resource: apirule.Resource}
}

func authorizationPolicies() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"}
}

func istioFeed(client dynamic.Interface, world *facts.World) *feed {
	one := newFeed(istio.Kind, untyped(client.Resource(istioResource()).Namespace(istio.Namespace)), example(istioResource(), istio.Kind),
		func(object *unstructured.Unstructured) istio.View { return istio.Parse(object.Object) },
		func(_ types.NamespacedName, view istio.View) { world.SetIstio(view) },
		func(name types.NamespacedName) { world.DeleteIstio(name) })
	// Also where there is no Istio CR, or not even its CRD, the registry is to
	// say so, and no longer that nobody has looked.
	one.settled = func() { world.DeleteIstio(types.NamespacedName{}) }
	return one
}

// meshFeed reads the one ConfigMap that istiod reads. What cannot be parsed is
// not known: the module is about to replace it.
func meshFeed(client kubernetes.Interface, world *facts.World) *feed {
	maps := client.CoreV1().ConfigMaps(istio.MeshNamespace)
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, istio.MeshConfigMap).String()
	from := lister{
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = only
			return maps.List(ctx, options)
		},
		watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = only
			return maps.Watch(ctx, options)
		},
	}
	return newFeed("ConfigMap", from, &corev1.ConfigMap{},
		func(object *corev1.ConfigMap) *istio.Mesh {
			mesh, err := istio.ParseMesh(object.Data[istio.MeshKey])
			if err != nil {
				return nil
			}
			return &mesh
		},
		func(_ types.NamespacedName, mesh *istio.Mesh) { world.SetMesh(mesh) },
		func(types.NamespacedName) { world.SetMesh(nil) })
}

func serviceFeed(client kubernetes.Interface, world *facts.World) *feed {
	in := func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.CoreV1().Services(namespace).List(ctx, options)
		}
	}
	from := lister{list: in(metav1.NamespaceAll), watch: client.CoreV1().Services(metav1.NamespaceAll).Watch, in: in}
	return newFeed("Service", from, &corev1.Service{}, serviceValue, world.SetService,
		func(name types.NamespacedName) { world.DeleteService(name) })
}

// slice is what is kept of an EndpointSlice.
type slice struct {
	service types.NamespacedName
	ready   bool
}

func endpointsFeed(client kubernetes.Interface, world *facts.World) *feed {
	in := func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.DiscoveryV1().EndpointSlices(namespace).List(ctx, options)
		}
	}
	from := lister{list: in(metav1.NamespaceAll), watch: client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).Watch, in: in}
	services := map[types.NamespacedName]types.NamespacedName{} // by slice
	remove := func(name types.NamespacedName) {
		world.DeleteEndpoints(services[name], name.Name)
		delete(services, name)
	}
	return newFeed("EndpointSlice", from, &discoveryv1.EndpointSlice{}, sliceValue,
		func(name types.NamespacedName, value slice) {
			if services[name] != value.service {
				remove(name) // its label changed
				services[name] = value.service
			}
			world.SetEndpoints(value.service, name.Name, value.ready)
		}, remove)
}

func sliceValue(object *discoveryv1.EndpointSlice) slice {
	value := slice{service: types.NamespacedName{Namespace: object.Namespace, Name: object.Labels[discoveryv1.LabelServiceName]}}
	for _, endpoint := range object.Endpoints {
		// An endpoint that says nothing is to be taken as ready (KEP-752).
		value.ready = value.ready || endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
	}
	return value
}

func namespaceFeed(client metadata.Interface, world *facts.World) *feed {
	namespaces := client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	from := lister{
		list: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return namespaces.List(ctx, options)
		},
		watch: namespaces.Watch,
		// Who may read a namespace may read it by its own name.
		in: func(name string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			return func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
				one, err := namespaces.Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return nil, err
				}
				return &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{*one}}, nil
			}
		},
	}
	return newFeed("Namespace", from, &metav1.PartialObjectMetadata{}, namespaceValue[*metav1.PartialObjectMetadata],
		func(name types.NamespacedName, namespace policy.Namespace) { world.SetNamespace(name.Name, namespace) },
		func(name types.NamespacedName) { world.DeleteNamespace(name.Name) })
}

func apiruleFeed(client dynamic.Interface, world *facts.World) *feed {
	known := lists{}
	return newFeed(apirule.Kind, everywhere(client.Resource(apiruleResource())), example(apiruleResource(), apirule.Kind),
		func(object *unstructured.Unstructured) apirule.View {
			return compact(apirule.Parse(object.Object, ""), known)
		},
		func(_ types.NamespacedName, view apirule.View) { world.SetAPIRule(view) },
		func(name types.NamespacedName) { world.DeleteAPIRule(name) })
}

// compact has equal parts of APIRules share their memory: all of them have few
// namespaces, gateways, methods and authorizers.
func compact(view apirule.View, known lists) apirule.View {
	view.Namespace, view.Gateway, view.OriginalVersion = shared(view.Namespace), shared(view.Gateway), shared(view.OriginalVersion)
	for i := range view.Rules {
		rule := &view.Rules[i]
		rule.Service.Namespace = shared(rule.Service.Namespace)
		rule.Methods, rule.Authorizers = known.shared(rule.Methods), known.shared(rule.Authorizers)
		if i > 0 && rule.Service == view.Rules[i-1].Service {
			rule.Service = view.Rules[i-1].Service
		}
	}
	return view
}

// lists are lists of texts that occur often, by what is in them.
type lists map[string][]string

// maxLists bounds lists, because who writes APIRules may make up new ones.
const maxLists = 1024

// shared returns an equal list, for all that are equal the same one.
func (l lists) shared(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	key := strings.Join(list, "\n")
	known, found := l[key]
	if found && slices.Equal(known, list) { // a text can have the separator in it
		return known
	}
	if !found && len(l) < maxLists {
		l[key] = list
	}
	return list
}

// shared returns an equal text that has its memory in common with all equal
// ones. It is for texts that occur often: one that does not takes more memory.
func shared(text string) string {
	return unique.Make(text).Value()
}

func authorizationPolicyFeed(client dynamic.Interface, world *facts.World) *feed {
	set := func(name types.NamespacedName, value authorization) {
		setCallers(world, name, value.callers)
		world.SetShields(name, value.shields)
		world.SetAuthorizationPolicy(name, value.known)
	}
	return newFeed("AuthorizationPolicy", everywhere(client.Resource(authorizationPolicies())), example(authorizationPolicies(), "AuthorizationPolicy"),
		authorizationOf, set, func(name types.NamespacedName) { set(name, authorization{}) })
}

// authorization is what is kept of an AuthorizationPolicy.
type authorization struct {
	known   *facts.AuthorizationPolicy
	callers *facts.CallersPolicy
	shields []istio.Shield
}

func authorizationOf(object *unstructured.Unstructured) authorization {
	return authorization{
		known:   facts.AuthorizationPolicyOf(istio.ParseAuthorizationPolicy(object.Object)),
		callers: callersValue(object), shields: istio.ParseShields(object.Object),
	}
}

func example(resource schema.GroupVersionResource, kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(resource.GroupVersion().WithKind(kind))
	return object
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

// everywhere lists and watches all namespaces, and can list one.
func everywhere(client dynamic.NamespaceableResourceInterface) lister {
	from := untyped(client)
	from.in = func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return untyped(client.Namespace(namespace)).list
	}
	return from
}

func serviceValue(service *corev1.Service) policy.Service {
	value := policy.Service{Annotations: annotation.Own(service.Annotations), Selector: policy.SelectorOf(service.Spec.Selector)}
	for _, port := range service.Spec.Ports {
		value.Ports = append(value.Ports, port.Port)
	}
	return value
}

// namespaceValue takes a Namespace, or no more than its metadata.
func namespaceValue[O metav1.Object](namespace O) policy.Namespace {
	return policy.Namespace{Annotations: annotation.Own(namespace.GetAnnotations()), Labels: namespace.GetLabels()}
}
