// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// addNeighbours adds, for a Service, one object other than the APIRule self for
// each authorizer that acts on its workload. The caller holds mu.
func (w *World) addNeighbours(facts *policy.Facts, self, service types.NamespacedName) {
	if service.Name == "" {
		return
	}
	found := map[string]string{}
	w.addUsers(found, self, service)
	known, _ := w.services.get(service)
	for _, one := range w.workloads.sharing(service.Namespace, known.Selector, istio.MeshNamespace) {
		for _, other := range one.services {
			if other != service {
				w.addUsers(found, self, other)
			}
		}
		for name, provider := range one.policies {
			offer(found, provider, fmt.Sprintf("AuthorizationPolicy %s", name))
		}
	}
	if len(found) == 0 {
		return
	}
	neighbours := make([]policy.Neighbour, 0, len(found))
	for _, authorizer := range sortedKeys(found) {
		neighbours = append(neighbours, policy.Neighbour{Object: found[authorizer], Authorizer: authorizer})
	}
	if facts.Neighbours == nil {
		facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{}
	}
	facts.Neighbours[service] = neighbours
}

func (w *World) addUsers(found map[string]string, self, service types.NamespacedName) {
	for _, users := range w.users.byService[service] {
		if other, exists := users.names.otherThan(self); exists {
			offer(found, users.authorizer, fmt.Sprintf("APIRule %s", other))
		}
	}
}

// offer keeps, of several objects with one authorizer, the first by name, so
// that the same world always gives the same sentence.
func offer(found map[string]string, authorizer, object string) {
	if known, exists := found[authorizer]; !exists || object < known {
		found[authorizer] = object
	}
}
