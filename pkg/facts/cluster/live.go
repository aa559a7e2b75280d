// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// live asks the API server itself.
type live struct {
	typed   kubernetes.Interface
	untyped dynamic.Interface
	world   *facts.World
}

// maxLiveReads bounds the Services, and the Namespaces, that one admission may ask
// for.
const maxLiveReads = 4

// missing is what the watches do not know of what a decision needs.
type missing struct {
	services    []types.NamespacedName
	namespaces  []string
	authorizers bool // the registry lacks one that is named
}

func (m missing) nothing() bool {
	return len(m.services) == 0 && len(m.namespaces) == 0 && !m.authorizers
}

// complete adds to facts what the API server knows of what is missing. What it
// cannot read before ctx ends stays as it is.
func (l live) complete(ctx context.Context, facts *policy.Facts, missing missing) {
	if missing.authorizers {
		if current, err := l.registry(ctx); err == nil {
			facts.Registry = current
		}
	}
	for _, name := range missing.namespaces[:min(len(missing.namespaces), maxLiveReads)] {
		namespace, err := l.typed.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			facts.Namespaces[name] = namespaceValue(namespace)
		}
	}
	for _, name := range missing.services[:min(len(missing.services), maxLiveReads)] {
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
