// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"iter"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// workloads is an index of objects by the Pods that they select: Services, and
// AuthorizationPolicies written by hand. It answers which objects share Pods
// with a selector, without a scan: what it looks at grows with the number of
// true answers and with the size of the selector, not with the cluster.
//
// Two selectors of one namespace share Pods when one is a subset of the other. A
// selector without labels, which only a policy can have, selects every Pod of
// its namespace.
type workloads map[string]*selectors // by namespace

// selectors are the workloads of one namespace.
type selectors struct {
	// exact holds each by its whole selector, see keyOf.
	exact map[string]*workload
	// larger holds those that select by more than one label, by each of the labels.
	larger map[string][]*workload
}

// workload is what shares one selector in one namespace.
type workload struct {
	selector policy.Selector
	services sortedNames
	policies set // nil if there are none
	made     []*made
}

// maxSubsets is the largest selector whose subsets are looked up one by one. A
// larger one is compared with every workload that shares a label with it.
const maxSubsets = 8

func (w workloads) addService(name types.NamespacedName, selector policy.Selector) {
	if len(selector) > 0 {
		one := w.at(name.Namespace, selector)
		one.services = one.services.with(name)
	}
}

func (w workloads) removeService(name types.NamespacedName, selector policy.Selector) {
	if one := w.exactly(name.Namespace, selector); one != nil {
		one.services = one.services.without(name)
		w.dropEmpty(name.Namespace, one)
	}
}

func (w workloads) addPolicy(name types.NamespacedName, selector policy.Selector) {
	one := w.at(name.Namespace, selector)
	if one.policies == nil {
		one.policies = make(set, 1)
	}
	one.policies[name] = struct{}{}
}

func (w workloads) removePolicy(name types.NamespacedName, selector policy.Selector) {
	if one := w.exactly(name.Namespace, selector); one != nil {
		delete(one.policies, name)
		w.dropEmpty(name.Namespace, one)
	}
}

// acting yields the policies that act on Pods with a selector of a namespace, in no order. A
// policy in the root namespace selects Pods of every namespace (Istio pilot,
// model/authorization.go).
func (w workloads) acting(namespace string, selector policy.Selector) iter.Seq[types.NamespacedName] {
	return func(yield func(types.NamespacedName) bool) {
		for _, of := range slices.Compact([]string{namespace, istio.MeshNamespace}) {
			for _, one := range w.sharing(of, selector) {
				for name := range one.policies {
					if !yield(name) {
						return
					}
				}
			}
		}
	}
}

// sharing returns the workloads that share Pods with a selector of a namespace,
// in a stable order.
func (w workloads) sharing(namespace string, selector policy.Selector) []*workload {
	near := w[namespace]
	if len(selector) == 0 || near == nil {
		return nil
	}
	var found []*workload
	add := func(one *workload) {
		if one != nil && !slices.Contains(found, one) {
			found = append(found, one)
		}
	}
	near.subsets(selector, add)
	for _, one := range near.rarest(selector) {
		if one.selector.Contains(selector) {
			add(one)
		}
	}
	slices.SortStableFunc(found, func(a, b *workload) int { return slices.Compare(a.selector, b.selector) })
	return found
}

// subsets calls add with the workloads whose selector is a part of the given one,
// without labels included; with some more than once, and with nil.
func (s *selectors) subsets(of policy.Selector, add func(*workload)) {
	if len(of) > maxSubsets {
		add(s.exact[keyOf(nil)])
		for _, pair := range of {
			add(s.exact[pair])
			for _, one := range s.larger[pair] {
				if of.Contains(one.selector) {
					add(one)
				}
			}
		}
		return
	}
	part := make(policy.Selector, 0, maxSubsets)
	for mask := range 1 << len(of) {
		part = part[:0]
		for i, pair := range of {
			if mask&(1<<i) != 0 {
				part = append(part, pair)
			}
		}
		add(s.exact[keyOf(part)])
	}
}

// rarest returns the workloads of more than one label that select by the label of
// selector which the fewest of them do: those that have all its labels and more
// are among them.
func (s *selectors) rarest(selector policy.Selector) []*workload {
	best := s.larger[selector[0]]
	for _, pair := range selector[1:] {
		if next := s.larger[pair]; len(next) < len(best) {
			best = next
		}
	}
	return best
}

func (w workloads) exactly(namespace string, selector policy.Selector) *workload {
	if near := w[namespace]; near != nil {
		return near.exact[keyOf(selector)]
	}
	return nil
}

// at returns the workload of a selector, a new one if need be.
func (w workloads) at(namespace string, selector policy.Selector) *workload {
	near := w[namespace]
	if near == nil {
		near = &selectors{exact: map[string]*workload{}, larger: map[string][]*workload{}}
		w[namespace] = near
	}
	key := keyOf(selector)
	one := near.exact[key]
	if one != nil {
		return one
	}
	one = &workload{selector: selector}
	near.exact[key] = one
	if len(selector) > 1 {
		for _, pair := range selector {
			near.larger[pair] = append(near.larger[pair], one)
		}
	}
	return one
}

func (w workloads) dropEmpty(namespace string, one *workload) {
	if len(one.services) > 0 || len(one.policies) > 0 || len(one.made) > 0 {
		return
	}
	near := w[namespace]
	delete(near.exact, keyOf(one.selector))
	if len(near.exact) == 0 {
		delete(w, namespace)
		return
	}
	if len(one.selector) < 2 {
		return
	}
	for _, pair := range one.selector {
		if left := slices.DeleteFunc(near.larger[pair], func(other *workload) bool { return other == one }); len(left) > 0 {
			near.larger[pair] = left
		} else {
			delete(near.larger, pair)
		}
	}
}

// keyOf is the key of a selector. That of a single label, as most Services have,
// is the label itself and takes no memory.
func keyOf(selector policy.Selector) string {
	return strings.Join(selector, "\n")
}
