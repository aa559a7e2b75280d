// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"sort"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// Registry is what is known about the authorizers of the mesh at one moment. It
// is immutable: share it freely. The zero value is an unknown registry.
type Registry struct {
	// Known is false when the registry could not be read. It is not the same
	// as an empty registry, and an absent Istio CR is not an empty one.
	Known bool
	// Reason says why the registry is not known; "" when it is.
	Reason string
	// Origin names where the authorizers are registered, in the words of a
	// sentence: "the Istio CR kyma-system/default".
	Origin string
	// State and Description are those of the Istio CR's status; "" if unknown.
	State, Description string

	// entries is true if the authorizers are entries of an Istio CR, and not only names.
	entries bool
	// faults are those of the entries, by name; looked for once, because every
	// admission asks.
	faults map[string][]entryFault
	// misfits are what the entries lack for the products that they look like, and
	// withoutPrefix is true for those that ask with the path of the application.
	misfits       map[string][]misfit
	withoutPrefix map[string]bool
	// mesh is nil while the mesh configuration is not known.
	mesh        *istio.Mesh
	authorizers map[string]istio.Authorizer
	names       []string
	backends    map[types.NamespacedName]string
}

// NewRegistry returns the registry that an Istio CR makes. Malformed entries are
// not part of it; of several entries with one name the first counts.
func NewRegistry(cr istio.View) Registry {
	registry := newRegistry(fmt.Sprintf("the Istio CR %s/%s", cr.Namespace, cr.Name), cr.Authorizers)
	registry.State, registry.Description, registry.entries = cr.State, cr.Description, true
	registry.faults = make(map[string][]entryFault, len(registry.authorizers))
	registry.misfits, registry.withoutPrefix = map[string][]misfit{}, map[string]bool{}
	for name, entry := range registry.authorizers {
		if found := misfits(entry); len(found) > 0 {
			registry.misfits[name] = found
		}
		registry.withoutPrefix[name] = entry.Service != "" && lacksPrefix(entry)
		if faults := entryFaults(entry); len(faults) > 0 {
			registry.faults[name] = faults
		}
	}
	return registry
}

// StaticRegistry returns a registry of nothing but names, for a front end that
// was told them; origin is where they come from, as in [Registry.Origin].
func StaticRegistry(origin string, names []string) Registry {
	authorizers := make([]istio.Authorizer, 0, len(names))
	for _, name := range names {
		authorizers = append(authorizers, istio.Authorizer{Name: name})
	}
	return newRegistry(origin, authorizers)
}

// UnknownRegistryBecause returns an unknown registry with the reason.
func UnknownRegistryBecause(reason string) Registry {
	return Registry{Reason: reason}
}

func newRegistry(origin string, authorizers []istio.Authorizer) Registry {
	registry := Registry{
		Known:       true,
		Origin:      origin,
		authorizers: make(map[string]istio.Authorizer, len(authorizers)),
		backends:    make(map[types.NamespacedName]string, len(authorizers)),
	}
	for _, authorizer := range authorizers {
		if _, repeated := registry.authorizers[authorizer.Name]; repeated || authorizer.Malformed || authorizer.Name == "" {
			continue // the CRD allows an empty name, and istiod has no use for it
		}
		registry.authorizers[authorizer.Name] = authorizer
		registry.names = append(registry.names, authorizer.Name)
		if backend, ok := authorizer.Backend(); ok {
			registry.backends[backend] = authorizer.Name
		}
	}
	sort.Strings(registry.names)
	return registry
}

// WithMesh returns the registry with what the mesh configuration says; nil if
// that is not known.
func (r Registry) WithMesh(mesh *istio.Mesh) Registry {
	r.mesh = mesh
	return r
}

// Effective is true if the mesh has a provider of that name which speaks
// ext_authz over HTTP, and also while the mesh configuration is not known.
func (r Registry) Effective(name string) bool {
	return r.mesh == nil || r.mesh.Providers[name]
}

// MeshKnown is true if it is known what the mesh configuration says.
func (r Registry) MeshKnown() bool {
	return r.mesh != nil
}

// Outdated is true if the mesh has the authorizer with another service, port or
// pathPrefix than the Istio CR.
func (r Registry) Outdated(name string) bool {
	if r.mesh == nil {
		return false
	}
	provider, known := r.mesh.HTTP[name]
	entry, registered := r.authorizers[name]
	return known && registered && r.entries && !provider.Is(entry)
}

// InForce is true if the mesh is known to have the authorizer as the Istio CR has it.
func (r Registry) InForce(name string) bool {
	return r.mesh != nil && r.mesh.Providers[name] && !r.Outdated(name)
}

// otherKind is true if the mesh has a provider of that name that speaks something
// else than ext_authz over HTTP, so that the authorizer can never take its place.
func (r Registry) otherKind(name string) bool {
	if r.mesh == nil {
		return false
	}
	http, known := r.mesh.Providers[name]
	return known && !http
}

// Authorizer returns the entry of that name.
func (r Registry) Authorizer(name string) (istio.Authorizer, bool) {
	authorizer, registered := r.authorizers[name]
	return authorizer, registered
}

// Has is true if an authorizer of that name is registered.
func (r Registry) Has(name string) bool {
	_, registered := r.authorizers[name]
	return registered
}

// Names returns the registered names, sorted. The caller must not change it.
func (r Registry) Names() []string {
	return r.names
}

// Behind returns the authorizer whose Service that is, or "".
func (r Registry) Behind(service types.NamespacedName) string {
	return r.backends[service]
}

// Fronts is true for a rule that has to be open, because it is the way to the login
// page of an authorizer: an APIRule in the namespace of the authorizer's Service, and
// the port that the authorizer is registered with. Anywhere else, and at another
// port, it would only be a way around what is required.
func (r Registry) Fronts(view apirule.View, rule apirule.Rule) bool {
	name := r.backends[rule.Service]
	return name != "" && rule.Service.Namespace == view.Namespace && rule.ServicePort == r.authorizers[name].Port
}
