// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// OptOutFacts returns the facts around the annotations of a Service or a
// Namespace. The APIRules that depend on it are looked up, and only where a
// policy forbids to opt out at all.
func (w *World) OptOutFacts(kind annotation.Kind, name types.NamespacedName, labels map[string]string) policy.OptOutFacts {
	w.mu.RLock()
	defer w.mu.RUnlock()
	facts := policy.OptOutFacts{
		Namespaces:     map[string]policy.Namespace{},
		GatewayDomains: map[string]string{},
	}
	for _, one := range w.cluster.compiled {
		if one.ForbidsOptOut() || one.ForbidsCallers() {
			facts.Policies = append(facts.Policies, one)
		}
	}
	if len(facts.Policies) == 0 {
		return facts
	}
	dependents := slices.Values(w.references.byService[name])
	if kind == annotation.Namespace {
		dependents = maps.Keys(w.references.byNamespace[name.Name])
	}
	for dependent := range dependents {
		view, _ := w.apirules.get(dependent)
		facts.APIRules = append(facts.APIRules, view)
		facts.Namespaces[view.Namespace] = w.namespaces[view.Namespace]
		for _, rule := range view.Rules {
			if namespace, known := w.namespaces[rule.Service.Namespace]; known {
				facts.Namespaces[rule.Service.Namespace] = namespace
			}
		}
		facts.GatewayDomains[view.Gateway] = w.cluster.domains[view.Gateway]
	}
	slices.SortFunc(facts.APIRules, func(a, b apirule.View) int { return compareNames(a.NamespacedName(), b.NamespacedName()) })
	if kind == annotation.Namespace {
		facts.Namespaces[name.Name] = policy.Namespace{Labels: labels}
	} else if namespace, known := w.namespaces[name.Namespace]; known {
		facts.Namespaces[name.Namespace] = namespace
	}
	return facts
}
