// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// The kinds of things that policies look at.
const (
	ExtAuthPolicy  Kind = "ExtAuthPolicy"
	Gateway        Kind = "Gateway"
	VirtualService Kind = "VirtualService"
)

// clusterState is what the world knows beyond single objects: policies,
// gateways, and what is exposed without an APIRule. Its zero value is empty.
type clusterState struct {
	byName map[string]policy.ClusterPolicy
	// compiled has all policies, sorted by name. It is replaced as a whole, so
	// that admission shares it.
	compiled []policy.ClusterPolicy
	// domains of the Gateways that serve short hosts, by namespace/name.
	domains         map[string]string
	virtualServices map[types.NamespacedName]istio.VirtualService
}

// SetPolicy adds or replaces an ExtAuthPolicy. A policy of the same UID and
// generation is the same: its status is written by ourselves.
func (w *World) SetPolicy(compiled policy.ClusterPolicy) {
	w.edit(edit{
		change: Change{Kind: ExtAuthPolicy, Name: types.NamespacedName{Name: compiled.Name}},
		same: func() bool {
			known, exists := w.cluster.byName[compiled.Name]
			return exists && known.UID == compiled.UID && known.Generation == compiled.Generation
		},
		apply: func() {
			if w.cluster.byName == nil {
				w.cluster.byName = map[string]policy.ClusterPolicy{}
			}
			w.cluster.byName[compiled.Name] = compiled
			w.cluster.sort()
		},
	})
}

// DeletePolicy removes an ExtAuthPolicy; one that is not there is not an error.
func (w *World) DeletePolicy(name string) {
	w.edit(edit{
		change: Change{Kind: ExtAuthPolicy, Name: types.NamespacedName{Name: name}},
		same:   func() bool { return absent(w.cluster.byName, name) },
		apply: func() {
			delete(w.cluster.byName, name)
			w.cluster.sort()
		},
	})
}

func (c *clusterState) sort() {
	c.compiled = slices.SortedFunc(maps.Values(c.byName), func(a, b policy.ClusterPolicy) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Policies returns all ExtAuthPolicies, sorted by name. The caller must not
// change it.
func (w *World) Policies() []policy.ClusterPolicy {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.cluster.compiled
}

// SetGateway tells under which domain a Gateway serves short hosts; "" if it
// serves none.
func (w *World) SetGateway(name types.NamespacedName, domain string) {
	w.edit(edit{
		change: Change{Kind: Gateway, Name: name},
		same:   func() bool { return w.cluster.domains[name.String()] == domain },
		apply: func() {
			w.atGateway(name.String(), w.leaveHosts)
			defer w.atGateway(name.String(), w.takeHosts)
			if domain == "" {
				delete(w.cluster.domains, name.String())
				return
			}
			if w.cluster.domains == nil {
				w.cluster.domains = map[string]string{}
			}
			w.cluster.domains[name.String()] = domain
		},
	})
}

// DeleteGateway removes a Gateway; one that is not there is not an error.
func (w *World) DeleteGateway(name types.NamespacedName) {
	w.SetGateway(name, "")
}

// GatewayDomain returns the domain under which a Gateway, as namespace/name,
// serves short hosts, or "".
func (w *World) GatewayDomain(gateway string) string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.cluster.domains[gateway]
}

// GatewayDomains returns the domains under which Gateways serve short hosts, by the
// Gateway as namespace/name, in a new map; nil if none does.
func (w *World) GatewayDomains() map[string]string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return maps.Clone(w.cluster.domains)
}

// NamedVirtualService is a VirtualService that no APIRule made.
type NamedVirtualService struct {
	types.NamespacedName
	istio.VirtualService
}

// SetVirtualService adds or replaces a VirtualService that no APIRule made.
func (w *World) SetVirtualService(name types.NamespacedName, service istio.VirtualService) {
	w.edit(edit{
		change: Change{Kind: VirtualService, Name: name},
		same:   func() bool { return same(w.cluster.virtualServices, name, service) },
		apply: func() {
			if w.cluster.virtualServices == nil {
				w.cluster.virtualServices = map[types.NamespacedName]istio.VirtualService{}
			}
			w.dropVirtualService(name)
			w.cluster.virtualServices[name] = service
			for _, host := range w.exposedBy(name) {
				w.hosts.edit(host, func(of *holders) { of.virtualServices = of.virtualServices.with(name) })
			}
		},
	})
}

// DeleteVirtualService removes one; one that is not there is not an error.
func (w *World) DeleteVirtualService(name types.NamespacedName) {
	w.edit(edit{
		change: Change{Kind: VirtualService, Name: name},
		same:   func() bool { return absent(w.cluster.virtualServices, name) },
		apply:  func() { w.dropVirtualService(name) },
	})
}

func (w *World) dropVirtualService(name types.NamespacedName) {
	for _, host := range w.exposedBy(name) {
		w.hosts.edit(host, func(of *holders) { of.virtualServices = of.virtualServices.without(name) })
	}
	delete(w.cluster.virtualServices, name)
}

// exposedBy returns the hosts that a VirtualService exposes at a gateway. The caller holds
// mu.
func (w *World) exposedBy(name types.NamespacedName) []string {
	if service := w.cluster.virtualServices[name]; len(service.Gateways) > 0 {
		return service.Hosts
	}
	return nil
}

// VirtualServices returns the VirtualServices that no APIRule made, in the order
// of their names.
func (w *World) VirtualServices() []NamedVirtualService {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]NamedVirtualService, 0, len(w.cluster.virtualServices))
	for name, service := range w.cluster.virtualServices {
		all = append(all, NamedVirtualService{name, service})
	}
	slices.SortFunc(all, func(a, b NamedVirtualService) int { return compareNames(a.NamespacedName, b.NamespacedName) })
	return all
}

// Namespaces returns all Namespaces by name, in a new map.
func (w *World) Namespaces() map[string]policy.Namespace {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return maps.Clone(w.namespaces)
}

// addPolicies adds the policies and what they look at. The caller holds mu.
func (w *World) addPolicies(facts *policy.Facts, gateway string) {
	facts.Policies = w.cluster.compiled
	if domain := w.cluster.domains[gateway]; domain != "" {
		facts.GatewayDomains = map[string]string{gateway: domain}
	}
}

// same is true if values has value under key already.
func same[K comparable, V any](values map[K]V, key K, value V) bool {
	known, exists := values[key]
	return exists && reflect.DeepEqual(known, value)
}

func absent[K comparable, V any](values map[K]V, key K) bool {
	_, exists := values[key]
	return !exists
}
