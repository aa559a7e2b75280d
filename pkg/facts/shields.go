// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// SetShields replaces what an AuthorizationPolicy keeps out at the ingress gateway; nil
// if that is nothing, or the policy is gone. No verdict about an APIRule depends on it,
// so nobody is told.
func (w *World) SetShields(name types.NamespacedName, shields []istio.Shield) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(shields) == 0 {
		delete(w.shields, name)
		return
	}
	if w.shields == nil {
		w.shields = map[types.NamespacedName][]istio.Shield{}
	}
	w.shields[name] = shields
}

// allShields returns them in the order of their policies. The caller holds mu.
func (w *World) allShields() []istio.Shield {
	var all []istio.Shield
	for _, name := range slices.SortedFunc(maps.Keys(w.shields), compareNames) {
		all = append(all, w.shields[name]...)
	}
	return all
}

// hostsOf returns the hosts of the APIRules that use an authorizer, sorted.
func (w *World) hostsOf(authorizer string) []string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	hosts := map[string]bool{}
	for name := range w.users.byAuthorizer[authorizer] {
		view, _ := w.apirules.get(name)
		if host := policy.FullHost(view.Host(), w.cluster.domains[view.Gateway]); host != "" {
			hosts[host] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}
