// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// made is what Kyma made of one APIRule for one authorizer at one workload: an
// AuthorizationPolicy for each rule. As long as the APIRule is as it was then, it says the
// same itself; an update that Kyma refused leaves the policies of the version before.
type made struct {
	owner    types.NamespacedName
	provider string
	at       *workload
	policies int
}

// setMade adds or replaces a policy that Kyma made, see [AuthorizationPolicy.Owner].
func (w *World) setMade(name types.NamespacedName, known AuthorizationPolicy) {
	w.edit(edit{
		change: Change{Kind: AuthorizationPolicies, Name: name},
		same: func() bool {
			before := w.made[name]
			return before != nil && before.owner == known.Owner && before.provider == known.Provider && slices.Equal(before.at.selector, known.Selector)
		},
		apply: func() {
			w.dropAuthorizationPolicy(name)
			at := w.workloads.at(name.Namespace, known.Selector)
			i := slices.IndexFunc(at.made, func(one *made) bool { return one.owner == known.Owner && one.provider == known.Provider })
			if i < 0 {
				i, at.made = len(at.made), append(at.made, &made{owner: known.Owner, provider: known.Provider, at: at})
			}
			at.made[i].policies++
			w.made[name] = at.made[i]
		},
	})
}

// dropMade removes a policy that Kyma made. The caller holds mu.
func (w *World) dropMade(name types.NamespacedName) {
	one := w.made[name]
	if one == nil {
		return
	}
	delete(w.made, name)
	if one.policies--; one.policies == 0 {
		one.at.made = slices.DeleteFunc(one.at.made, func(other *made) bool { return other == one })
		w.workloads.dropEmpty(name.Namespace, one.at)
	}
}

// stale is true if the APIRule as it is now does not explain the policies. The caller holds
// mu.
func (w *World) stale(one *made, namespace string) bool {
	if _, renewed := w.renewed[one.owner]; renewed {
		return false
	}
	view, exists := w.apirules.get(one.owner)
	return !exists || !slices.ContainsFunc(view.Rules, func(rule apirule.Rule) bool {
		service, _ := w.services.get(rule.Service)
		return rule.Service.Namespace == namespace && slices.Contains(rule.Authorizers, one.provider) && slices.Equal(service.Selector, one.at.selector)
	})
}

// leftAt yields what is in force at Pods of a namespace and that no APIRule explains any
// more, without that of one APIRule. The caller holds mu.
func (w *World) leftAt(namespace string, selector policy.Selector, self types.NamespacedName) iter.Seq[*made] {
	return func(yield func(*made) bool) {
		for _, workload := range w.workloads.sharing(namespace, selector) {
			for _, one := range workload.made {
				if one.owner != self && w.stale(one, namespace) && !yield(one) {
					return
				}
			}
		}
	}
}
