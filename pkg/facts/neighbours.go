// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// addNeighbours adds, for a Service, one object other than the APIRule self for
// each authorizer that acts on its workload. The caller holds mu.
func (w *World) addNeighbours(facts *policy.Facts, self, service types.NamespacedName) {
	if service.Name == "" {
		return
	}
	found := map[string]policy.Neighbour{}
	w.addUsers(found, self, service)
	known, _ := w.services.get(service)
	for _, one := range w.workloads.sharing(service.Namespace, known.Selector) {
		for _, other := range one.services {
			if other != service {
				w.addUsers(found, self, other)
			}
		}
	}
	for name := range w.workloads.acting(service.Namespace, known.Selector) {
		if provider := w.policies[name].Provider; provider != "" {
			offer(found, policy.Neighbour{Object: fmt.Sprintf("AuthorizationPolicy %s", name), Authorizer: provider})
		}
	}
	for one := range w.leftAt(service.Namespace, known.Selector, self) {
		offer(found, policy.Neighbour{
			Object: fmt.Sprintf("APIRule %s", one.owner), Authorizer: one.provider, Foreign: one.owner.Namespace != service.Namespace, Left: true,
		})
	}
	if len(found) == 0 {
		return
	}
	neighbours := make([]policy.Neighbour, 0, len(found))
	for _, authorizer := range sortedKeys(found) {
		neighbours = append(neighbours, found[authorizer])
	}
	if facts.Neighbours == nil {
		facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{}
	}
	facts.Neighbours[service] = neighbours
}

func (w *World) addUsers(found map[string]policy.Neighbour, self, service types.NamespacedName) {
	for _, users := range w.users.byService[service] {
		if other, exists := users.names.otherThan(self, service.Namespace); exists {
			offer(found, policy.Neighbour{
				Object: fmt.Sprintf("APIRule %s", other), Authorizer: users.authorizer, Foreign: other.Namespace != service.Namespace,
			})
		}
	}
}

// offer keeps one of several objects with one authorizer: one that says so itself before
// what is left of another, one of the Service's own namespace before the others, and then
// the first by name, so that the same world always gives the same sentence.
func offer(found map[string]policy.Neighbour, one policy.Neighbour) {
	known, exists := found[one.Authorizer]
	switch {
	case !exists:
	case known.Left != one.Left:
		if one.Left {
			return
		}
	case known.Foreign != one.Foreign:
		if one.Foreign {
			return
		}
	case known.Object <= one.Object:
		return
	}
	found[one.Authorizer] = one
}
