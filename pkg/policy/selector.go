// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"sort"
)

// Selector is a label selector by equality: "key=value" for each label, sorted.
// Neither a key nor a value can have a "=" (Kubernetes, apimachinery
// pkg/util/validation). nil is no selector. A list takes a sixth of the memory of
// the map that it is made of, and there is one for each Service.
type Selector []string

// SelectorOf returns the selector of the given labels; nil if there are none.
func SelectorOf(labels map[string]string) Selector {
	if len(labels) == 0 {
		return nil
	}
	pairs := make(Selector, 0, len(labels))
	for key, value := range labels {
		pairs = append(pairs, key+"="+value)
	}
	sort.Strings(pairs)
	return pairs
}

// Contains is true if the selector has all labels of part, so that part selects
// whatever it selects.
func (s Selector) Contains(part Selector) bool {
	if len(part) > len(s) {
		return false
	}
	for _, pair := range part {
		if _, found := slices.BinarySearch(s, pair); !found {
			return false
		}
	}
	return true
}
