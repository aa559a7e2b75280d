// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// workloads is an index of objects by the Pods that they select: Services, and
// AuthorizationPolicies written by hand. It answers which objects share Pods
// with a selector, without a scan: what it looks at grows with the number of
// true answers and with the size of the selector, not with the cluster.
//
// Two selectors of one namespace share Pods when one is a subset of the other. A
// selector without labels, which only a policy can have, selects every Pod of
// its namespace.
type workloads struct {
	// exact holds members by namespace and whole selector.
	exact map[string]*workload
	// byPair holds the workloads of a namespace that select by a label. Most
	// labels select one: a list takes a fraction of the memory of a set.
	byPair map[string][]*workload
}

// workload is what shares one selector in one namespace.
type workload struct {
	key      string
	pairs    []string // "key=value", sorted
	services sortedNames
	policies map[types.NamespacedName]string // the provider of each; nil if none
}

// maxSubsets is the largest selector whose subsets are looked up one by one. A
// larger one is compared with every workload that shares a label with it.
const maxSubsets = 8

func newWorkloads() *workloads {
	return &workloads{exact: map[string]*workload{}, byPair: map[string][]*workload{}}
}

func (w *workloads) addService(name types.NamespacedName, selector map[string]string) {
	if len(selector) > 0 {
		one := w.at(name.Namespace, selector)
		one.services = one.services.with(name)
	}
}

func (w *workloads) removeService(name types.NamespacedName, selector map[string]string) {
	if one := w.exact[exactKey(name.Namespace, pairsOf(selector))]; one != nil {
		one.services = one.services.without(name)
		w.dropEmpty(name.Namespace, one)
	}
}

func (w *workloads) addPolicy(name types.NamespacedName, selector map[string]string, provider string) {
	one := w.at(name.Namespace, selector)
	if one.policies == nil {
		one.policies = map[types.NamespacedName]string{}
	}
	one.policies[name] = provider
}

func (w *workloads) removePolicy(name types.NamespacedName, selector map[string]string) {
	if one := w.exact[exactKey(name.Namespace, pairsOf(selector))]; one != nil {
		delete(one.policies, name)
		w.dropEmpty(name.Namespace, one)
	}
}

// sharing returns the workloads that share Pods with a selector of a namespace,
// in a stable order. A policy without selector in the root namespace selects
// every Pod of the mesh.
func (w *workloads) sharing(namespace string, selector map[string]string, root string) []*workload {
	pairs := pairsOf(selector)
	if len(pairs) == 0 {
		return nil
	}
	found := map[*workload]bool{}
	for _, key := range w.subsetKeys(namespace, pairs) {
		if one := w.exact[key]; one != nil {
			found[one] = true
		}
	}
	if one := w.exact[exactKey(root, nil)]; one != nil {
		found[one] = true
	}
	for _, one := range w.rarest(namespace, pairs) {
		if contains(one.pairs, pairs) || contains(pairs, one.pairs) {
			found[one] = true
		}
	}
	sharing := make([]*workload, 0, len(found))
	for one := range found {
		sharing = append(sharing, one)
	}
	sort.Slice(sharing, func(i, j int) bool { return sharing[i].key < sharing[j].key })
	return sharing
}

// subsetKeys returns the keys of the selectors that are subsets of pairs,
// without labels included.
func (w *workloads) subsetKeys(namespace string, pairs []string) []string {
	if len(pairs) > maxSubsets {
		keys := []string{exactKey(namespace, nil)}
		for _, pair := range pairs {
			for _, one := range w.byPair[pairKey(namespace, pair)] {
				if contains(pairs, one.pairs) {
					keys = append(keys, one.key)
				}
			}
		}
		return keys
	}
	keys := make([]string, 0, 1<<len(pairs))
	for mask := range 1 << len(pairs) {
		var subset []string
		for i, pair := range pairs {
			if mask&(1<<i) != 0 {
				subset = append(subset, pair)
			}
		}
		keys = append(keys, exactKey(namespace, subset))
	}
	return keys
}

// rarest returns the workloads that select by the label of pairs which the
// fewest do: the supersets of pairs are among them.
func (w *workloads) rarest(namespace string, pairs []string) []*workload {
	best := w.byPair[pairKey(namespace, pairs[0])]
	for _, pair := range pairs[1:] {
		if next := w.byPair[pairKey(namespace, pair)]; len(next) < len(best) {
			best = next
		}
	}
	return best
}

func (w *workloads) at(namespace string, selector map[string]string) *workload {
	pairs := pairsOf(selector)
	key := exactKey(namespace, pairs)
	one := w.exact[key]
	if one != nil {
		return one
	}
	one = &workload{key: key, pairs: pairs}
	w.exact[key] = one
	for _, pair := range pairs {
		at := pairKey(namespace, pair)
		w.byPair[at] = append(w.byPair[at], one)
	}
	return one
}

func (w *workloads) dropEmpty(namespace string, one *workload) {
	if len(one.services) > 0 || len(one.policies) > 0 {
		return
	}
	delete(w.exact, one.key)
	for _, pair := range one.pairs {
		key := pairKey(namespace, pair)
		left := slices.DeleteFunc(w.byPair[key], func(other *workload) bool { return other == one })
		if len(left) > 0 {
			w.byPair[key] = left
		} else {
			delete(w.byPair, key)
		}
	}
}

// pairsOf returns the labels of a selector as sorted "key=value"; "=" is in no
// label.
func pairsOf(selector map[string]string) []string {
	pairs := make([]string, 0, len(selector))
	for key, value := range selector {
		pairs = append(pairs, key+"="+value)
	}
	sort.Strings(pairs)
	return pairs
}

func exactKey(namespace string, pairs []string) string {
	return namespace + "\n" + strings.Join(pairs, "\n")
}

func pairKey(namespace, pair string) string {
	return namespace + "\n" + pair
}

// contains is true if the sorted large has all of the sorted small.
func contains(large, small []string) bool {
	for _, one := range small {
		if _, found := slices.BinarySearch(large, one); !found {
			return false
		}
	}
	return true
}
