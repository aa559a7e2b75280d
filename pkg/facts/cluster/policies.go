// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// madeForAPIRule is the label of what Kyma makes of an APIRule (Kyma api-gateway
// 3.5 and later).
const madeForAPIRule = "apirule." + apirule.Group + "/name"

func networking(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource}
}

func policyFeed(client dynamic.Interface, world *facts.World) *feed {
	resource := v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)
	return newFeed(v1alpha1.Kind, untyped(client.Resource(resource)), example(resource, v1alpha1.Kind),
		policyValue,
		func(_ types.NamespacedName, compiled policy.ClusterPolicy) { world.SetPolicy(compiled) },
		func(name types.NamespacedName) { world.DeletePolicy(name.Name) })
}

// policyValue compiles a policy. One that does not even decode, which only
// another version of the CRD can let through, has a fault.
func policyValue(object *unstructured.Unstructured) policy.ClusterPolicy {
	typed := &v1alpha1.ExtAuthPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		return policy.ClusterPolicy{Name: object.GetName(), UID: object.GetUID(), Generation: object.GetGeneration(), Fault: err.Error()}
	}
	return policy.CompilePolicy(typed)
}

func gatewayFeed(client dynamic.Interface, world *facts.World) *feed {
	resource := networking("gateways")
	return newFeed("Gateway", everywhere(client.Resource(resource)), example(resource, "Gateway"),
		func(object *unstructured.Unstructured) string { return istio.GatewayDomain(object.Object) },
		world.SetGateway,
		func(name types.NamespacedName) { world.DeleteGateway(name) })
}

// virtualServiceFeed leaves those that Kyma makes of APIRules to the API server:
// there is one for each APIRule, and the APIRules are read themselves.
func virtualServiceFeed(client dynamic.Interface, world *facts.World) *feed {
	resource := networking("virtualservices")
	all := client.Resource(resource)
	in := func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = "!" + madeForAPIRule
			return all.Namespace(namespace).List(ctx, options)
		}
	}
	from := lister{
		list: in(metav1.NamespaceAll), in: in,
		watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = "!" + madeForAPIRule
			return all.Watch(ctx, options)
		},
	}
	return newFeed("VirtualService", from, example(resource, "VirtualService"),
		virtualServiceValue,
		func(name types.NamespacedName, service *istio.VirtualService) {
			if service == nil {
				world.DeleteVirtualService(name)
				return
			}
			world.SetVirtualService(name, *service)
		},
		func(name types.NamespacedName) { world.DeleteVirtualService(name) })
}

// virtualServiceValue returns nil for what Kyma made of an APIRule before 3.5.
func virtualServiceValue(object *unstructured.Unstructured) *istio.VirtualService {
	if istio.MadeByKyma(object.Object) {
		return nil
	}
	parsed := istio.ParseVirtualService(object.Object)
	return &parsed
}
