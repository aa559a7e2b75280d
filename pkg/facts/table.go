// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"reflect"

	"k8s.io/apimachinery/pkg/types"
)

// table holds values by name. A map has room for more than is in it, so that of
// large values holds pointers to them.
type table[V any] map[types.NamespacedName]*V

// get returns a value, the zero value if there is none.
func (t table[V]) get(name types.NamespacedName) (value V, exists bool) {
	if known := t[name]; known != nil {
		return *known, true
	}
	return value, false
}

func (t table[V]) set(name types.NamespacedName, value V) {
	t[name] = &value
}

func (t table[V]) same(name types.NamespacedName, value V) bool {
	known, exists := t.get(name)
	return exists && reflect.DeepEqual(known, value)
}
