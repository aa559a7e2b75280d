// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

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
// several goroutines at once. Values that it is given or gives are not changed
// by either side.
type World struct {
	// registry is replaced as a whole whenever an Istio CR or the mesh
	// configuration changes, so that admission reads it without a lock.
	registry atomic.Pointer[policy.Registry]
	watchers watchers
	// recent is told of each APIRule that changed; nil if nobody remembers any.
	recent atomic.Pointer[Recent]

	mu         sync.RWMutex
	istios     map[types.NamespacedName]istio.View
	mesh       *istio.Mesh
	services   table[policy.Service]
	endpoints  map[types.NamespacedName]map[string]bool // ready, by slice
	namespaces map[string]policy.Namespace
	apirules   table[apirule.View]
	policies   map[types.NamespacedName]AuthorizationPolicy
	made       map[types.NamespacedName]*made // of policies by Kyma; those of an APIRule share one
	renewed    set                            // APIRules that are about to get another version
	workloads  workloads
	users      *users
	references references
	cluster    clusterState
	callers    callers
	proxies    map[types.NamespacedName]Proxy
	shields    map[types.NamespacedName][]istio.Shield
	hosts      hosts
	// backends has what is known about the Services of all registered authorizers. It
	// is replaced as a whole, and never changed: facts share it.
	backends map[string]policy.Backend
}

var _ Source = &World{}

// NewWorld returns a World in which nothing exists and the registry is unknown
// for the given reason, until [World.SetIstio] or [World.SetRegistry].
func NewWorld(reason string) *World {
	world := &World{
		istios:     map[types.NamespacedName]istio.View{},
		services:   table[policy.Service]{},
		endpoints:  map[types.NamespacedName]map[string]bool{},
		namespaces: map[string]policy.Namespace{},
		apirules:   table[apirule.View]{},
		policies:   map[types.NamespacedName]AuthorizationPolicy{},
		made:       map[types.NamespacedName]*made{},
		workloads:  workloads{},
		users:      newUsers(),
		hosts:      hosts{},
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
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setRegistry(registry)
}

// setRegistry is SetRegistry for a caller that holds mu.
func (w *World) setRegistry(registry policy.Registry) {
	w.registry.Store(&registry)
	w.readBackends()
}

// SetIstio adds or replaces an Istio CR.
func (w *World) SetIstio(view istio.View) {
	w.edit(edit{
		change: Change{Kind: Istio, Name: view.NamespacedName()},
		same:   func() bool { return same(w.istios, view.NamespacedName(), view) },
		apply: func() {
			w.istios[view.NamespacedName()] = view
			w.readRegistry()
		},
	})
}

// Istios returns all Istio CRs by name, in a new map.
func (w *World) Istios() map[types.NamespacedName]istio.View {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return maps.Clone(w.istios)
}

// DeleteIstio removes an Istio CR; one that is not there is not an error. The
// first call, even with a name that is not there, tells that the CRs were read.
func (w *World) DeleteIstio(name types.NamespacedName) {
	w.change(Change{Kind: Istio, Name: name}, func() {
		delete(w.istios, name)
		w.readRegistry()
	})
}

// SetMesh replaces what the mesh configuration says; nil if it is not known.
func (w *World) SetMesh(mesh *istio.Mesh) {
	w.change(Change{Kind: Istio}, func() {
		w.mesh = mesh
		w.setRegistry(w.Registry().WithMesh(mesh))
	})
}

// readRegistry makes the registry of the active Istio CR. The caller holds mu.
func (w *World) readRegistry() {
	w.setRegistry(registryOf(slices.Collect(maps.Values(w.istios)), w.mesh))
}

// RegistryOf returns the registry that the given Istio CRs would make: that of
// the active one, or unknown if there is none.
func (w *World) RegistryOf(views []istio.View) policy.Registry {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return registryOf(views, w.mesh)
}

func registryOf(views []istio.View, mesh *istio.Mesh) policy.Registry {
	active, found := istio.Active(views)
	if !found {
		return policy.UnknownRegistryBecause("there is no Istio CR in the namespace " + istio.Namespace)
	}
	return policy.NewRegistry(active).WithMesh(mesh)
}

// SetService adds or replaces a Service.
func (w *World) SetService(name types.NamespacedName, service policy.Service) {
	w.edit(edit{
		change: Change{Kind: Service, Name: name},
		same:   func() bool { return w.services.same(name, service) },
		apply: func() {
			before, _ := w.services.get(name)
			w.workloads.removeService(name, before.Selector)
			w.services.set(name, service)
			w.workloads.addService(name, service.Selector)
			w.backendChanged(name)
		},
	})
}

// DeleteService removes a Service; one that is not there is not an error.
func (w *World) DeleteService(name types.NamespacedName) {
	w.change(Change{Kind: Service, Name: name}, func() {
		before, _ := w.services.get(name)
		w.workloads.removeService(name, before.Selector)
		delete(w.services, name)
		w.backendChanged(name)
	})
}

// SetEndpoints tells whether one slice of the endpoints of a Service has a ready
// one.
func (w *World) SetEndpoints(service types.NamespacedName, slice string, ready bool) {
	w.edit(edit{
		change: Change{Kind: Endpoints, Name: service},
		same:   func() bool { return same(w.endpoints[service], slice, ready) },
		apply: func() {
			if w.endpoints[service] == nil {
				w.endpoints[service] = make(map[string]bool, 1)
			}
			w.endpoints[service][slice] = ready
			w.backendChanged(service)
		},
	})
}

// DeleteEndpoints removes a slice; one that is not there is not an error.
func (w *World) DeleteEndpoints(service types.NamespacedName, slice string) {
	w.edit(edit{
		change: Change{Kind: Endpoints, Name: service},
		same:   func() bool { return absent(w.endpoints[service], slice) },
		apply: func() {
			delete(w.endpoints[service], slice)
			if len(w.endpoints[service]) == 0 {
				delete(w.endpoints, service)
			}
			w.backendChanged(service)
		},
	})
}

// SetNamespace adds or replaces a Namespace.
func (w *World) SetNamespace(name string, namespace policy.Namespace) {
	w.edit(edit{
		change: Change{Kind: Namespace, Name: types.NamespacedName{Name: name}},
		same:   func() bool { return same(w.namespaces, name, namespace) },
		apply:  func() { w.namespaces[name] = namespace },
	})
}

// DeleteNamespace removes a Namespace; one that is not there is not an error.
func (w *World) DeleteNamespace(name string) {
	w.change(Change{Kind: Namespace, Name: types.NamespacedName{Name: name}}, func() { delete(w.namespaces, name) })
}

// SetAPIRule adds or replaces an APIRule.
func (w *World) SetAPIRule(view apirule.View) {
	name := view.NamespacedName()
	w.edit(edit{
		change: Change{Kind: APIRule, Name: name},
		same:   func() bool { return w.apirules.same(name, view) },
		wide: func() bool {
			before, _ := w.apirules.get(name)
			return !slices.Equal(usesOf(before), usesOf(view)) || !slices.Equal(w.hostsOfView(before), w.hostsOfView(view))
		},
		apply: func() {
			w.forget(name)
			w.apirules.set(name, view)
			w.users.add(view)
			w.references.add(view)
			w.takeHosts(view)
		},
	})
}

// DeleteAPIRule removes an APIRule; one that is not there is not an error.
func (w *World) DeleteAPIRule(name types.NamespacedName) {
	w.edit(edit{
		change: Change{Kind: APIRule, Name: name},
		same:   func() bool { return absent(w.apirules, name) },
		apply: func() {
			w.forget(name)
			delete(w.apirules, name)
		},
	})
}

// forget takes an APIRule out of the indexes. The caller holds mu.
func (w *World) forget(name types.NamespacedName) {
	if known, exists := w.apirules.get(name); exists {
		w.users.remove(known)
		w.references.remove(known)
		w.leaveHosts(known)
	}
}

// APIRule returns an APIRule.
func (w *World) APIRule(name types.NamespacedName) (apirule.View, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.apirules.get(name)
}

// APIRuleNames returns the names of all APIRules, in order.
func (w *World) APIRuleNames() []types.NamespacedName {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names := make([]types.NamespacedName, 0, len(w.apirules))
	for name := range w.apirules {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// APIRules returns all APIRules in the order of their names. It is for reports:
// admission never lists.
func (w *World) APIRules() []apirule.View {
	names := w.APIRuleNames()
	w.mu.RLock()
	defer w.mu.RUnlock()
	views := make([]apirule.View, 0, len(names))
	for _, name := range names {
		if view, exists := w.apirules.get(name); exists {
			views = append(views, view)
		}
	}
	return views
}

// change applies a change under the lock and tells the watchers after it.
func (w *World) change(change Change, apply func()) {
	w.edit(edit{change: change, apply: apply})
}

// IstioFacts returns the facts around a change of the Istio CR of that name.
func (w *World) IstioFacts(name types.NamespacedName) policy.IstioFacts {
	w.mu.RLock()
	defer w.mu.RUnlock()
	facts := policy.IstioFacts{Users: w.Users, Hosts: w.hostsOf, Shields: w.allShields()}
	for other, view := range w.istios {
		if other != name {
			facts.Others = append(facts.Others, view)
		}
	}
	return facts
}

// Users returns the APIRules that use an authorizer, as namespace/name, sorted.
func (w *World) Users(authorizer string) []string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names := make([]string, 0, len(w.users.byAuthorizer[authorizer]))
	for name := range w.users.byAuthorizer[authorizer] {
		names = append(names, name.String())
	}
	slices.Sort(names)
	return names
}

// Facts returns the facts around view. It never waits, and what it costs grows
// with the rules of view and with what shares their workloads, not with the
// world.
func (w *World) Facts(_ context.Context, view apirule.View) policy.Facts {
	facts := policy.Facts{
		Registry:   w.Registry(),
		Services:   make(map[types.NamespacedName]policy.Service, 1),
		Namespaces: make(map[string]policy.Namespace, 1),
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	facts.Backends = w.backends
	w.addNamespace(&facts, view.Namespace)
	w.addPolicies(&facts, view.Gateway)
	w.addHosts(&facts, view)
	for _, rule := range view.Rules {
		if _, done := facts.Services[rule.Service]; done { // most rules share a Service
			continue
		}
		if service, exists := w.services.get(rule.Service); exists {
			facts.Services[rule.Service] = service
		}
		w.addNamespace(&facts, rule.Service.Namespace)
		w.addNeighbours(&facts, view.NamespacedName(), rule.Service)
		w.addWidenings(&facts, view, rule.Service)
		w.addCallers(&facts, rule.Service)
		w.addRestricted(&facts, view.NamespacedName(), rule.Service)
	}
	return facts
}

func (w *World) addNamespace(facts *policy.Facts, name string) {
	if namespace, exists := w.namespaces[name]; exists {
		facts.Namespaces[name] = namespace
	}
}
