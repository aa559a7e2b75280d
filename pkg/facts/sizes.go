// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

// Sizes returns how many things of each kind the world holds.
func (w *World) Sizes() map[Kind]int {
	w.mu.RLock()
	defer w.mu.RUnlock()
	slices := 0
	for _, of := range w.endpoints {
		slices += len(of)
	}
	return map[Kind]int{
		APIRule:               len(w.apirules),
		Service:               len(w.services),
		Namespace:             len(w.namespaces),
		Istio:                 len(w.istios),
		AuthorizationPolicies: len(w.policies) + len(w.made),
		Endpoints:             slices,
		ExtAuthPolicy:         len(w.cluster.byName),
		Gateway:               len(w.cluster.domains),
		VirtualService:        len(w.cluster.virtualServices),
	}
}
