// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// misspelled tells which annotations were meant for this project and are at a place
// or under a prefix where nobody reads them. Admission does not see them: nothing
// there is ours. A typo is still no "did not ask".
func misspelled(about identity, object map[string]any) []policy.Finding {
	switch about.groupKind() {
	case apirule.Kind + "." + apirule.Group, "Service", "Namespace":
	default:
		return nil
	}
	metadata, _ := object["metadata"].(map[string]any)
	var found []policy.Finding
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if near := nearPrefix(key); near != "" {
			found = append(found, typo(annotation.Path(key), key, fmt.Sprintf("nobody reads this annotation; did you mean %q?", near)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if key == "annotations" || suggest.Nearest(key, []string{"annotations"}) == "" {
			continue
		}
		if entries, ok := metadata[key].(map[string]any); ok && anyOurs(entries) {
			found = append(found, typo(field.NewPath("metadata", key), key, `metadata has no such field; did you mean "annotations"?`))
		}
	}
	labels, _ := metadata["labels"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if annotation.Ours(key) {
			found = append(found, typo(field.NewPath("metadata", "labels").Key(key), key, "this is a label, which nobody reads; write it below annotations"))
		}
	}
	return found
}

// nearPrefix returns what a key would be with the prefix of this project, if its
// own is close to that; "" if it is not, or is that.
func nearPrefix(key string) string {
	prefix, name, hasName := strings.Cut(key, "/")
	own := strings.TrimSuffix(annotation.Prefix, "/")
	if !hasName || annotation.Ours(key) {
		return ""
	}
	label, _, _ := strings.Cut(strings.ToLower(prefix), ".")
	ownLabel, _, _ := strings.Cut(own, ".")
	if suggest.Nearest(prefix, []string{own}) == "" && suggest.Nearest(label, []string{ownLabel}) == "" && label != ownLabel {
		return ""
	}
	return annotation.Prefix + bound.Text(name)
}

func anyOurs(entries map[string]any) bool {
	for key := range entries {
		if annotation.Ours(key) || nearPrefix(key) != "" {
			return true
		}
	}
	return false
}

func typo(path *field.Path, value, sentence string) policy.Finding {
	return policy.Finding{
		Code: policy.InvalidAnnotation, Severity: policy.Deny, Subject: value, Brief: "misspelled",
		Err: field.Invalid(path, bound.Text(value), sentence),
	}
}
