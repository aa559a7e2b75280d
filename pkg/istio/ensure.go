// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
)

// EnsureAuthorizer returns list with the entry named want["name"] holding every
// field of want, and says whether that differs from list.
//
// The list is spec.config.authorizers of the Istio CR as it was read. Kyma's
// CRD gives it no list-map key, so it is atomic: whoever writes it writes all of
// it (Kyma istio 1.30, config/crd/bases). Therefore everything that is not ours
// comes back deeply equal and in its place: other entries, malformed ones too
// (strings, nulls), further entries of our name, and inside our entry the keys
// that want does not mention. Maps are merged key by key, everything else is
// replaced. The entry goes to the end when there is none.
//
// The arguments are not modified and out shares nothing with them. Applying it
// twice changes nothing: changed is then false. A want without a name that is a
// non-empty string changes nothing, as there would be no entry to find again.
func EnsureAuthorizer(list []any, want map[string]any) (out []any, changed bool) {
	return upsert(list, want, func(ours map[string]any) (map[string]any, bool) { return merge(ours, want) })
}

// ReplaceAuthorizer is [EnsureAuthorizer] for whoever wants the entry to be want and
// nothing more: the keys that want does not mention are gone.
func ReplaceAuthorizer(list []any, want map[string]any) (out []any, changed bool) {
	return upsert(list, want, func(ours map[string]any) (map[string]any, bool) {
		return runtime.DeepCopyJSON(want), !reflect.DeepEqual(ours, want)
	})
}

// upsert changes the first entry named want["name"], or appends want.
func upsert(list []any, want map[string]any, change func(map[string]any) (map[string]any, bool)) (out []any, changed bool) {
	out = copyList(list)
	name, ok := want["name"].(string)
	if !ok || name == "" {
		return out, false
	}
	for i, entry := range out {
		ours, ok := entry.(map[string]any)
		if !ok || ours["name"] != name {
			continue
		}
		out[i], changed = change(ours)
		return out, changed
	}
	return append(out, runtime.DeepCopyJSONValue(want)), true
}

// RemoveAuthorizer returns list without its first entry of that name, which is
// the one that [EnsureAuthorizer] writes, and says whether there was one. All
// else stays as it is and where it is, and out shares nothing with list.
func RemoveAuthorizer(list []any, name string) (out []any, changed bool) {
	out = copyList(list)
	for i, entry := range out {
		ours, ok := entry.(map[string]any)
		if ok && name != "" && ours["name"] == name {
			return append(out[:i], out[i+1:]...), true
		}
	}
	return out, false
}

// merge sets every key of want in have, descending into maps.
func merge(have, want map[string]any) (map[string]any, bool) {
	changed := false
	for key, value := range want {
		current, exists := have[key]
		currentMap, currentIsMap := current.(map[string]any)
		valueMap, valueIsMap := value.(map[string]any)
		switch {
		case currentIsMap && valueIsMap:
			merged, inner := merge(currentMap, valueMap)
			have[key] = merged
			changed = changed || inner
		case exists && reflect.DeepEqual(current, value):
		default:
			have[key] = runtime.DeepCopyJSONValue(value)
			changed = true
		}
	}
	return have, changed
}

func copyList(list []any) []any {
	if list == nil {
		return nil
	}
	out := make([]any, len(list))
	for i, entry := range list {
		out[i] = runtime.DeepCopyJSONValue(entry)
	}
	return out
}
