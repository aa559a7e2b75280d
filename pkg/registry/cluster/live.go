// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

// live asks the API server itself.
type live struct {
	typed   kubernetes.Interface
	untyped dynamic.Interface
	world   *registry.World
}

// maxLiveServices bounds the requests that one admission may cause.
const maxLiveServices = 4

// complete adds to facts what the API server knows about services and, if asked
// to, the registry. What it cannot read before ctx ends stays as it is.
func (l live) complete(ctx context.Context, facts *policy.Facts, services []types.NamespacedName, authorizers bool) {
	if authorizers {
		if current, err := l.registry(ctx); err == nil {
			facts.Registry = current
		}
	}
	for i, name := range services {
		if i == maxLiveServices {
			return
		}
		service, err := l.typed.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		if err == nil {
			facts.Services[name] = serviceValue(service)
		}
	}
}

func (l live) registry(ctx context.Context) (policy.Registry, error) {
	list, err := l.untyped.Resource(istioResource()).Namespace(istio.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return policy.Registry{}, err
	}
	views := make([]istio.View, 0, len(list.Items))
	for _, item := range list.Items {
		views = append(views, istio.Parse(item.Object))
	}
	return l.world.RegistryOf(views), nil
}
