// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/callers"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// TestCallersLetNoGatewayIn sends requests with and without the policy of the annotation
// internal-callers: no gateway gets an answer that it did not get before, and whom the
// annotation names is let in.
func TestCallersLetNoGatewayIn(t *testing.T) {
	oracle := start(t)
	gateways := []annotation.Caller{{Namespace: "istio-system", ServiceAccount: "istio-ingressgateway-service-account"}, {Namespace: "edge", ServiceAccount: "front"}}
	compared, letIn := 0, 0
	for i := range uint64(*worlds) / 20 {
		objects, rule := exposed(*seed + i)
		objects = append(objects, registry(t)...)
		outcome, err := managers.ClusterOf(objects).Reconcile(rule)
		require.NoError(t, err)
		if !slices.ContainsFunc(outcome.Objects, allowsFor("s0")) {
			continue // the controller writes the policy for exposed Services only
		}
		objects = append(objects, outcome.Objects...)
		wanted := callers.Wanted{
			Service: types.NamespacedName{Namespace: "a", Name: "s0"}, Selector: policy.SelectorOf(map[string]string{"app": "s0"}),
			Callers: dice{rand.New(rand.NewPCG(*seed+i, 19))}.callers(), Gateways: gateways, //nolint:gosec // the same worlds every time
		}
		requests := fromEverywhere()
		before := oracle.outcomes(t, objects, requests)
		after := oracle.outcomes(t, append(slices.Clone(objects), unstructured.Unstructured{Object: wanted.Object()}), requests)
		for j, request := range requests {
			compared++
			if isGateway(request.Principal) {
				assert.Equal(t, before[j], after[j], "seed %d: %s, callers %+v", *seed+i, request, wanted.Callers)
			}
			if before[j].Denied != "" && after[j].Denied == "" {
				letIn++
				assert.True(t, named(wanted.Callers, request.Principal), "seed %d: %s, callers %+v", *seed+i, request, wanted.Callers)
			}
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d requests, %d let in that were not before, 0 of a gateway", compared, letIn)
	assert.Positive(t, letIn)
}

// allowsFor is true for an ALLOW policy of Kyma on the workload of a Service.
func allowsFor(app string) func(unstructured.Unstructured) bool {
	return func(of unstructured.Unstructured) bool {
		action, _, _ := unstructured.NestedString(of.Object, "spec", "action")
		labels, _, _ := unstructured.NestedStringMap(of.Object, "spec", "selector", "matchLabels")
		return of.GetKind() == "AuthorizationPolicy" && action == "" && labels["app"] == app
	}
}

// callers are some, or all.
func (d dice) callers() annotation.Callers {
	if d.once(4) {
		return annotation.Callers{All: true}
	}
	var of annotation.Callers
	for range 1 + d.IntN(3) {
		of.Listed = append(of.Listed, annotation.Caller{
			Namespace:      pick(d, "shop", "istio-system", "edge"),
			ServiceAccount: pick(d, "", "default", "front"),
		})
	}
	return of
}

func fromEverywhere() []sent {
	var all []sent
	for _, principal := range []string{
		managers.IngressGateway, "other.domain/ns/istio-system/sa/istio-ingressgateway-service-account",
		"cluster.local/ns/edge/sa/front", "other.domain/ns/edge/sa/front",
		"cluster.local/ns/shop/sa/default", "cluster.local/ns/shop/sa/front", "cluster.local/ns/edge/sa/default", "cluster.local/ns/bank/sa/default", "",
	} {
		for _, host := range []string{"r.example.com", "r.example.com:443", "s0.a.svc.cluster.local"} {
			for _, path := range []string{"/", "/a", "/a/b/c"} {
				all = append(all, sent{Pod: "a/p0", Host: host, Method: "GET", Path: path, Principal: principal})
			}
		}
	}
	return all
}

func isGateway(principal string) bool {
	return slices.Contains([]string{
		managers.IngressGateway, "other.domain/ns/istio-system/sa/istio-ingressgateway-service-account",
		"cluster.local/ns/edge/sa/front", "other.domain/ns/edge/sa/front",
	}, principal)
}

// named is true if the annotation names the caller, written out here once more.
func named(of annotation.Callers, principal string) bool {
	if of.All {
		return principal != ""
	}
	return slices.ContainsFunc(of.Listed, func(one annotation.Caller) bool {
		account := one.ServiceAccount
		if account == "" {
			return slices.Contains([]string{"cluster.local/ns/" + one.Namespace + "/sa/default", "cluster.local/ns/" + one.Namespace + "/sa/front"}, principal)
		}
		return principal == "cluster.local/ns/"+one.Namespace+"/sa/"+account
	})
}
