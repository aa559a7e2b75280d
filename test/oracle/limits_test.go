// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// The known limits: differences that are meant, each with its reason.
const (
	// Selectors are compared, and Pods are not watched: that would take memory for
	// every Pod of the cluster. Two selectors that are no part of each other can
	// still share a Pod (docs/reference/codes.md, AuthorizerConflict).
	sharedPod = "a Pod has the labels of two selectors that are no part of each other"
	// The other way: one selector is a part of the other, and no Pod has the labels of
	// both now. The next rollout may bring one.
	noSharedPod = "no Pod has the labels of both selectors now"
	// A neighbour that Kyma refuses has no policies yet. It would have them as soon as
	// what is wrong with it is corrected.
	refusedNeighbour = "the other APIRule is refused by Kyma now"
	// An authorizer with the name of one of the module's own providers works for istiod,
	// and Kyma refuses every APIRule that names it.
	refusedItself = "Kyma refuses the APIRule itself"
	// What a rule brings to a Service without Pods harms nobody until Pods come.
	noPod = "the Service of a rule has no Pod now"
)

// limitOf names the known limit that explains a difference; "" if none does.
func limitOf(in world, rule unstructured.Unstructured, ours, theirs answer, attached map[string]bool) string {
	more := ours.several && !theirs.several || ours.bad && !theirs.bad
	switch {
	case ours.bad && !theirs.bad && !admittedByKyma(in, rule):
		return refusedItself
	case more && hasRuleWithoutPod(in, rule):
		return noPod
	case theirs.several && !ours.several && disjointOnOnePod(in, rule):
		return sharedPod
	case ours.several && !theirs.several && hasRefusedNeighbour(in, rule, attached):
		return refusedNeighbour
	case ours.several && !theirs.several && partWithoutPod(in, rule):
		return noSharedPod
	}
	return ""
}

// reach is a selector of a namespace.
type reach struct {
	namespace string
	selector  policy.Selector
}

// reachOf returns what the policies of an APIRule select.
func reachOf(in world, rule unstructured.Unstructured) []reach {
	policies, err := managers.ClusterOf(in.Objects).Policies(rule)
	if err != nil {
		return nil
	}
	var all []reach
	for _, made := range policies {
		labels, _, _ := unstructured.NestedStringMap(made.Object, "spec", "selector", "matchLabels")
		all = append(all, reach{made.GetNamespace(), policy.SelectorOf(labels)})
	}
	return all
}

// around returns the selectors of the Services of a namespace, and of the policies by
// hand that act on it.
func around(in world, namespace string) []policy.Selector {
	var all []policy.Selector
	for _, object := range in.Objects {
		fields := map[string][]string{"Service": {"spec", "selector"}, "AuthorizationPolicy": {"spec", "selector", "matchLabels"}}[object.GetKind()]
		near := object.GetNamespace() == namespace || object.GetKind() == "AuthorizationPolicy" && object.GetNamespace() == "istio-system"
		if labels, found, _ := unstructured.NestedStringMap(object.Object, fields...); fields != nil && near && found {
			all = append(all, policy.SelectorOf(labels))
		}
	}
	return all
}

// disjointOnOnePod is true if a Pod has the labels of a selector of the APIRule and of
// another one, of which neither is a part of the other.
func disjointOnOnePod(in world, rule unstructured.Unstructured) bool {
	return anyPair(in, rule, func(namespace string, own, other policy.Selector) bool {
		return !own.Contains(other) && !other.Contains(own) && onOnePod(in, namespace, own, other)
	})
}

// partWithoutPod is true if a selector of the APIRule and another one are a part of each
// other and no Pod has the labels of both.
func partWithoutPod(in world, rule unstructured.Unstructured) bool {
	return anyPair(in, rule, func(namespace string, own, other policy.Selector) bool {
		return (own.Contains(other) || other.Contains(own)) && !onOnePod(in, namespace, own, other)
	})
}

func anyPair(in world, rule unstructured.Unstructured, is func(namespace string, own, other policy.Selector) bool) bool {
	for _, own := range reachOf(in, rule) {
		for _, other := range around(in, own.namespace) {
			if is(own.namespace, own.selector, other) {
				return true
			}
		}
	}
	return false
}

func onOnePod(in world, namespace string, a, b policy.Selector) bool {
	for _, pod := range in.of("Pod") {
		if labels := policy.SelectorOf(pod.GetLabels()); pod.GetNamespace() == namespace && labels.Contains(a) && labels.Contains(b) {
			return true
		}
	}
	return false
}

// hasRefusedNeighbour is true if Kyma refuses an APIRule of the world that is not the
// given one.
func hasRefusedNeighbour(in world, of unstructured.Unstructured, attached map[string]bool) bool {
	cluster := managers.ClusterOf(in.Objects)
	for _, rule := range in.of("APIRule") {
		if rule.GetNamespace() == of.GetNamespace() && rule.GetName() == of.GetName() {
			continue
		}
		outcome, err := cluster.Reconcile(rule)
		if err == nil && len(outcome.Failures) > 0 && !attached[rule.GetNamespace()+"/"+rule.GetName()] {
			return true
		}
	}
	return false
}

// admittedByKyma is true if Kyma does not refuse the APIRule.
func admittedByKyma(in world, rule unstructured.Unstructured) bool {
	outcome, err := managers.ClusterOf(in.Objects).Reconcile(rule)
	return err == nil && len(outcome.Failures) == 0
}

// hasRuleWithoutPod is true if a policy of the APIRule reaches no Pod.
func hasRuleWithoutPod(in world, rule unstructured.Unstructured) bool {
	return slices.ContainsFunc(reachOf(in, rule), func(own reach) bool { return !onOnePod(in, own.namespace, own.selector, nil) })
}
