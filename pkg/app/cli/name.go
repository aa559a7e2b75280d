// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
)

// served is the version in which users read APIRules.
func served() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource}
}

// isAPIRule is true for the words for an APIRule that kubectl knows.
func isAPIRule(word string) bool {
	word = strings.ToLower(word)
	word = strings.TrimSuffix(word, "."+apirule.Group)
	return word == "apirule" || word == "apirules"
}

// isOther is true for the words of kubectl for what is easily taken for an APIRule.
func isOther(word string) bool {
	return slices.Contains([]string{"svc", "service", "services", "vs", "virtualservice", "deploy", "deployment", "pod", "ns"}, strings.ToLower(word))
}

// meant reads which APIRule is meant: NAME, NAMESPACE/NAME, apirule/NAME or
// apirule NAME. A namespace in it has to be the one of the flag, if that is set.
func meant(args []string, flag string) (types.NamespacedName, error) {
	word := args[len(args)-1]
	kind, rest, has := strings.Cut(word, "/")
	switch {
	case len(args) == 2 && !isAPIRule(args[0]):
		return types.NamespacedName{}, noKind(args[0])
	case has && isAPIRule(kind):
		word = rest
	case has && isOther(kind):
		return types.NamespacedName{}, noKind(word)
	}
	key := types.NamespacedName{Namespace: flag, Name: word}
	if namespace, name, has := strings.Cut(word, "/"); has {
		key = types.NamespacedName{Namespace: namespace, Name: name}
	}
	switch {
	case misses(word):
		return types.NamespacedName{}, fmt.Errorf("%q names no APIRule: write NAME or NAMESPACE/NAME", args[len(args)-1])
	case flag != "" && key.Namespace != flag:
		return types.NamespacedName{}, fmt.Errorf("the APIRule is %s, and --namespace is %s: leave one of them out", key, flag)
	}
	return key, nil
}

// misses is true for a word that lacks a part, or has too many.
func misses(word string) bool {
	return word == "" || strings.HasPrefix(word, "/") || strings.HasSuffix(word, "/") || strings.Count(word, "/") > 1
}

func noKind(word string) error {
	return fmt.Errorf("%q is no APIRule: only APIRules can be explained, by NAME or NAMESPACE/NAME", word)
}

// noAPIRule says that an APIRule is not there, or may not be seen, and which one
// may be meant.
func (k *known) noAPIRule(key types.NamespacedName) error {
	for _, gap := range k.gaps {
		if gap.Kind == apirule.Kind && gap.Namespace != key.Namespace {
			return fmt.Errorf("the APIRule %s cannot be read: %w", key, gap.Err)
		}
	}
	var here, elsewhere []string
	for _, other := range k.world.APIRuleNames() {
		switch {
		case other.Namespace == key.Namespace:
			here = append(here, other.Name)
		case other.Name == key.Name:
			elsewhere = append(elsewhere, other.String())
		}
	}
	text := fmt.Sprintf("there is no APIRule %s", key)
	switch near := suggest.Nearest(key.Name, here); {
	case len(elsewhere) > 0:
		text += "; there is " + strings.Join(elsewhere[:min(len(elsewhere), 3)], ", ")
	case near != "":
		text += fmt.Sprintf("; did you mean %s/%s?", key.Namespace, near)
	}
	return errors.New(text)
}
