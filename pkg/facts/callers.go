// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// CallersPolicy is an AuthorizationPolicy that we made for the callers of a Service.
type CallersPolicy struct {
	// Principals are those that it lets in.
	Principals []string
	// Version is the resource version: another one may be somebody else's edit.
	Version string
}

// callers are the policies by Service. The zero value has none.
type callers map[types.NamespacedName]CallersPolicy

// SetCallersPolicy adds or replaces the policy for the callers of a Service.
func (w *World) SetCallersPolicy(service types.NamespacedName, made CallersPolicy) {
	w.edit(edit{
		change: Change{Kind: CallersPolicies, Name: service},
		same:   func() bool { return same(w.callers, service, made) },
		apply: func() {
			if w.callers == nil {
				w.callers = callers{}
			}
			w.callers[service] = made
		},
	})
}

// DeleteCallersPolicy removes one; one that is not there is not an error.
func (w *World) DeleteCallersPolicy(service types.NamespacedName) {
	w.edit(edit{
		change: Change{Kind: CallersPolicies, Name: service},
		same:   func() bool { return absent(w.callers, service) },
		apply:  func() { delete(w.callers, service) },
	})
}

// CallersPolicy returns the policy for the callers of a Service.
func (w *World) CallersPolicy(service types.NamespacedName) (CallersPolicy, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	made, exists := w.callers[service]
	return made, exists
}

// CallersPolicies returns the Services that have such a policy, in their order.
func (w *World) CallersPolicies() []types.NamespacedName {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names := make([]types.NamespacedName, 0, len(w.callers))
	for name := range w.callers {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// ExposedServices returns the Services that APIRules expose, in their order.
func (w *World) ExposedServices() []types.NamespacedName {
	w.mu.RLock()
	defer w.mu.RUnlock()
	names := make([]types.NamespacedName, 0, len(w.references.byService))
	for name := range w.references.byService {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// CallersFacts returns the facts around who may call a Service inside the mesh.
func (w *World) CallersFacts(name types.NamespacedName) policy.OptOutFacts {
	w.mu.RLock()
	defer w.mu.RUnlock()
	facts := policy.OptOutFacts{Namespaces: map[string]policy.Namespace{}, GatewayDomains: map[string]string{}, Policies: w.cluster.compiled}
	add := func(namespace string) {
		if known, exists := w.namespaces[namespace]; exists {
			facts.Namespaces[namespace] = known
		}
	}
	add(name.Namespace)
	for _, user := range w.references.byService[name] {
		view, _ := w.apirules.get(user)
		facts.APIRules = append(facts.APIRules, view)
		facts.GatewayDomains[view.Gateway] = w.cluster.domains[view.Gateway]
		add(view.Namespace)
	}
	return facts
}

// addCallers tells whether callers of a Service are let in. The caller holds mu.
func (w *World) addCallers(facts *policy.Facts, service types.NamespacedName) {
	if _, exists := w.callers[service]; !exists {
		return
	}
	if facts.CallersAllowed == nil {
		facts.CallersAllowed = make(map[types.NamespacedName]bool, 1)
	}
	facts.CallersAllowed[service] = true
}
