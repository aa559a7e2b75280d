// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// World is an index of everything that a decision about an APIRule may depend
// on. Its zero value is not usable; see [NewWorld]. All methods may be called by
// several goroutines at once.
type World struct {
	// registry is replaced as a whole whenever an Istio CR changes, so that
	// admission reads it without a lock.
	registry atomic.Pointer[policy.Registry]

	mu         sync.RWMutex
	istios     map[types.NamespacedName]istio.View
	services   map[types.NamespacedName]policy.Service
	namespaces map[string]policy.Namespace
}

var _ Source = &World{}

// NewWorld returns a World in which nothing exists and the registry is unknown
// for the given reason, until [World.SetIstio] or [World.SetRegistry].
func NewWorld(reason string) *World {
	world := &World{
		istios:     map[types.NamespacedName]istio.View{},
		services:   map[types.NamespacedName]policy.Service{},
		namespaces: map[string]policy.Namespace{},
	}
	world.SetRegistry(policy.UnknownRegistryBecause(reason))
	return world
}

// Registry returns what is known about authorizers now.
func (w *World) Registry() policy.Registry {
	return *w.registry.Load()
}

// SetRegistry replaces the registry until the next change of an Istio CR.
func (w *World) SetRegistry(registry policy.Registry) {
	w.registry.Store(&registry)
}

// SetIstio adds or replaces an Istio CR.
func (w *World) SetIstio(view istio.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.istios[view.NamespacedName()] = view
	w.readRegistry()
}

// DeleteIstio removes an Istio CR; one that is not there is not an error.
func (w *World) DeleteIstio(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.istios, name)
	w.readRegistry()
}

// readRegistry makes the registry of the active Istio CR. The caller holds mu.
func (w *World) readRegistry() {
	w.SetRegistry(RegistryOf(slices.Collect(maps.Values(w.istios))))
}

// RegistryOf returns the registry that the given Istio CRs make: that of the
// active one, or unknown if there is none.
func RegistryOf(views []istio.View) policy.Registry {
	active, found := istio.Active(views)
	if !found {
		return policy.UnknownRegistryBecause("there is no Istio CR in the namespace " + istio.Namespace)
	}
	return policy.NewRegistry(active)
}

// SetService adds or replaces a Service.
func (w *World) SetService(name types.NamespacedName, service policy.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.services[name] = service
}

// DeleteService removes a Service; one that is not there is not an error.
func (w *World) DeleteService(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.services, name)
}

// SetNamespace adds or replaces a Namespace.
func (w *World) SetNamespace(name string, namespace policy.Namespace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.namespaces[name] = namespace
}

// DeleteNamespace removes a Namespace; one that is not there is not an error.
func (w *World) DeleteNamespace(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.namespaces, name)
}

// Facts returns the facts around view. It costs as much as view has rules,
// however large the world is, and never waits.
func (w *World) Facts(_ context.Context, view apirule.View) policy.Facts {
	facts := policy.Facts{
		Registry:   w.Registry(),
		Services:   make(map[types.NamespacedName]policy.Service, 1),
		Namespaces: make(map[string]policy.Namespace, 1),
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	if namespace, exists := w.namespaces[view.Namespace]; exists {
		facts.Namespaces[view.Namespace] = namespace
	}
	for _, rule := range view.Rules {
		if service, exists := w.services[rule.Service]; exists {
			facts.Services[rule.Service] = service
		}
	}
	return facts
}
