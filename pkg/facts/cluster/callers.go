// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/callers"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
)

// callersValue returns nil for what was not made for callers inside the mesh.
func callersValue(object *unstructured.Unstructured) *facts.CallersPolicy {
	if callers.ServiceOf(object.GetLabels(), object.GetName()) == "" {
		return nil
	}
	made := &facts.CallersPolicy{Version: object.GetResourceVersion()}
	rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "rules")
	for _, rule := range rules {
		made.Principals = append(made.Principals, principalsOf(rule)...)
	}
	return made
}

// principalsOf returns whom a rule of an AuthorizationPolicy lets in.
func principalsOf(rule any) []string {
	object, _ := rule.(map[string]any)
	sources, _ := object["from"].([]any)
	var all []string
	for _, entry := range sources {
		from, _ := entry.(map[string]any)
		principals, _, _ := unstructured.NestedStringSlice(from, "source", "principals")
		all = append(all, principals...)
	}
	return all
}

// setCallers tells the world about the policy of a name, which need not be one of
// ours; nil if it is not, or is gone.
func setCallers(world *facts.World, name types.NamespacedName, made *facts.CallersPolicy) {
	service := callers.ServiceOf(map[string]string{callers.Label: callers.Manager}, name.Name)
	if service == "" {
		return
	}
	of := types.NamespacedName{Namespace: name.Namespace, Name: service}
	if made == nil {
		world.DeleteCallersPolicy(of)
		return
	}
	world.SetCallersPolicy(of, *made)
}
