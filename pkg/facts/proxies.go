// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Proxy is a Deployment of oauth2-proxy.
type Proxy struct {
	// Pods are the labels of its Pods.
	Pods policy.Selector
	// Holes are sentences about known holes that its flags open.
	Holes []string
}

// ProxyOf reduces a Deployment to what is known about the oauth2-proxy in it. A version
// that cannot be read is no hole.
func ProxyOf(deployment *appsv1.Deployment) Proxy {
	template := deployment.Spec.Template
	value := Proxy{Pods: policy.SelectorOf(template.Labels)}
	problems, _ := oauth2proxy.CheckPod(template.Spec)
	for _, problem := range problems {
		if !problem.Unknown {
			value.Holes = append(value.Holes, problem.Message)
		}
	}
	return value
}

// SetProxy adds or replaces a Deployment of oauth2-proxy.
func (w *World) SetProxy(name types.NamespacedName, proxy Proxy) {
	w.edit(edit{
		change: Change{Kind: Proxies, Name: name},
		same:   func() bool { return same(w.proxies, name, proxy) },
		apply: func() {
			if w.proxies == nil {
				w.proxies = map[types.NamespacedName]Proxy{}
			}
			w.proxies[name] = proxy
			w.readBackends()
		},
	})
}

// DeleteProxy removes one; one that is not there is not an error.
func (w *World) DeleteProxy(name types.NamespacedName) {
	w.edit(edit{
		change: Change{Kind: Proxies, Name: name},
		same:   func() bool { return absent(w.proxies, name) },
		apply: func() {
			delete(w.proxies, name)
			w.readBackends()
		},
	})
}

// holesBehind returns the holes of the proxies that a Service leads to. The caller
// holds mu.
func (w *World) holesBehind(name types.NamespacedName, service policy.Service) []string {
	var holes []string
	for _, deployment := range slices.SortedFunc(maps.Keys(w.proxies), compareNames) {
		proxy := w.proxies[deployment]
		if deployment.Namespace == name.Namespace && len(service.Selector) > 0 && proxy.Pods.Contains(service.Selector) {
			holes = append(holes, proxy.Holes...)
		}
	}
	return holes
}
