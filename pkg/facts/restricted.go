// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// addRestricted tells whether callers inside the mesh are kept out of the workload behind a
// Service already, whatever the APIRule self says. The caller holds mu.
func (w *World) addRestricted(facts *policy.Facts, self, service types.NamespacedName) {
	if !w.restricted(self, service) {
		return
	}
	if facts.Restricted == nil {
		facts.Restricted = make(map[types.NamespacedName]bool, 1)
	}
	facts.Restricted[service] = true
}

// restricted is true if another APIRule leads to the workload, if Kyma's policies of one are
// left there, or if a policy by hand keeps callers out.
func (w *World) restricted(self, service types.NamespacedName) bool {
	if w.fronted(self, service) {
		return true
	}
	known, _ := w.services.get(service)
	for _, one := range w.workloads.sharing(service.Namespace, known.Selector) {
		if slices.ContainsFunc(one.services, func(other types.NamespacedName) bool { return w.fronted(self, other) }) ||
			slices.ContainsFunc(one.made, func(made *made) bool { return made.owner != self }) {
			return true
		}
	}
	for name := range w.workloads.acting(service.Namespace, known.Selector) {
		if w.policies[name].Restricts {
			return true
		}
	}
	return false
}

// fronted is true if another APIRule than self leads to a Service.
func (w *World) fronted(self, service types.NamespacedName) bool {
	_, another := w.references.byService[service].otherThan(self, service.Namespace)
	return another
}
