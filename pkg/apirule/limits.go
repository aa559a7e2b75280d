// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package apirule

import (
	"encoding/json"
	"hash/fnv"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// The CRD sets no limit to these lists, and an author may repeat a value in each of
// their entries. What is longer is not read any further; see [View.Excess].
const (
	// MaxRules is how many rules of an APIRule are read. Kyma makes up to three
	// objects of each.
	MaxRules = 10_000
	// MaxAuthorizers is how many authorizers of a rule are read.
	MaxAuthorizers = annotation.MaxNames
	// MaxOrigins is how many entries of spec.corsPolicy.allowOrigins are told apart.
	MaxOrigins = 64
	// maxHosts is how many hosts are read. The CRD takes one.
	maxHosts = 16
	// maxName is how long a name may be that an object can have, in bytes
	// (k8s.io/apimachinery, util/validation, DNS1123SubdomainMaxLength).
	maxName = 253
)

// Excess is a list that is longer than what is read of it.
type Excess struct {
	Field *field.Path
	// Count is how many entries the list has, Max how many are read.
	Count, Max int
	// Digest is another one where the list has other entries.
	Digest uint64
}

// within returns the entries of a list that are read, and notes it if there are
// more.
func (v *View) within(path *field.Path, entries []any, limit int) []any {
	if len(entries) <= limit {
		return entries
	}
	v.Excess = append(v.Excess, Excess{Field: path, Count: len(entries), Max: limit, Digest: digest(entries)})
	return entries[:limit]
}

func digest(entries []any) uint64 {
	hash := fnv.New64a()
	_ = json.NewEncoder(hash).Encode(entries) // decoded JSON always encodes
	return hash.Sum64()
}

// nameOf returns a name, cut if no object can have such a long one: a name is
// repeated in keys and sentences.
func nameOf(name string) string {
	if len(name) > maxName {
		return bound.Text(name)
	}
	return name
}

// methodsOf returns the methods that exist, each once, in the author's order.
func methodsOf(entries []any) []string {
	known := annotation.Methods()
	var methods []string
	for _, entry := range entries {
		method, _ := entry.(string)
		if slices.Contains(known, method) && !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	return methods
}
