// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// identity is what an object says it is.
type identity struct {
	apiVersion, kind, namespace, name string
}

func identify(object map[string]any, namespace string) identity {
	metadata, _ := object["metadata"].(map[string]any)
	about := identity{
		apiVersion: text(object, "apiVersion"),
		kind:       text(object, "kind"),
		namespace:  text(metadata, "namespace"),
		name:       text(metadata, "name"),
	}
	if about.name == "" {
		about.name = text(metadata, "generateName")
	}
	if about.namespace == "" && about.groupKind() != "Namespace" {
		about.namespace = namespace
	}
	return about
}

// groupKind returns "Kind.group", or "Kind" for the core group.
func (i identity) groupKind() string {
	if group, _, found := strings.Cut(i.apiVersion, "/"); found {
		return i.kind + "." + group
	}
	return i.kind
}

func (i identity) version() string {
	_, version, found := strings.Cut(i.apiVersion, "/")
	if !found {
		return i.apiVersion
	}
	return version
}

func (i identity) namespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: i.namespace, Name: i.name}
}

func text(object map[string]any, key string) string {
	value, _ := object[key].(string)
	return value
}
