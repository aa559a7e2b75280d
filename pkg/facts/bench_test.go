// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// crowd is a world of size APIRules with five rules, each with a Service of its
// own, a hundred in a namespace, and a tenth as many authorizers.
func crowd(size int) *facts.World {
	world := facts.NewWorld("not read yet")
	names := []string{"oauth2-proxy"}
	for i := 1; i < size/10; i++ {
		names = append(names, fmt.Sprintf("authorizer-%d", i))
	}
	active := cr("default", "2026-01-01T00:00:00Z", names...)
	for i := range active.Authorizers {
		active.Authorizers[i].PathPrefix = "/verify?original="
	}
	world.SetIstio(active)
	mesh := istio.Mesh{Providers: map[string]bool{}}
	for _, name := range names {
		mesh.Providers[name] = true
		world.SetService(in("auth", name), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": name}), Ports: []int32{80}})
		world.SetEndpoints(in("auth", name), name, true)
	}
	world.SetMesh(&mesh)
	for i := range size {
		view := ruled(i, apirule.ExtAuth)
		world.SetNamespace(view.Namespace, policy.Namespace{Labels: map[string]string{"istio-injection": "enabled"}})
		world.SetService(in(view.Namespace, view.Name), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": view.Name}), Ports: []int32{80}})
		world.SetAPIRule(view)
	}
	return world
}

// ruled is the APIRule of that number, with five rules of one strategy.
func ruled(number int, strategy apirule.Strategy) apirule.View {
	view := apirule.View{
		Namespace: fmt.Sprintf("shop-%d", number/100), Name: fmt.Sprintf("app-%d", number), HasMetadata: true, HasAnnotations: true,
		Annotations: map[string]string{annotation.Inject: "true"},
		Hosts:       []string{"app"}, Gateway: "kyma-system/kyma-gateway",
	}
	for i := range 5 {
		rule := apirule.Rule{
			Index: i, Path: fmt.Sprintf("/%d", i), Methods: []string{"GET"}, Strategy: strategy,
			Service: in(view.Namespace, view.Name), ServicePort: 80,
		}
		if strategy == apirule.ExtAuth {
			rule.Authorizers = []string{"oauth2-proxy"}
		}
		view.Rules = append(view.Rules, rule)
	}
	return view
}

func BenchmarkFacts(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("among=%d", size), func(b *testing.B) {
			world, view := crowd(size), ruled(size/2, apirule.ExtAuth)
			b.ReportAllocs()
			for b.Loop() {
				world.Facts(b.Context(), view)
			}
		})
	}
}

func BenchmarkInject(b *testing.B) {
	view := ruled(5, apirule.Open)
	facts := crowd(10).Facts(b.Context(), view)
	require.Len(b, policy.Inject(view, facts, policy.DefaultSettings()).Edits.Rules, 5)
	b.ReportAllocs()
	for b.Loop() {
		policy.Inject(view, facts, policy.DefaultSettings())
	}
}

func BenchmarkCheck(b *testing.B) {
	view := ruled(5, apirule.ExtAuth)
	facts := crowd(10).Facts(b.Context(), view)
	require.Len(b, policy.Check(view, facts, policy.DefaultSettings()), 1, "no more than that callers in the cluster are shut out")
	b.ReportAllocs()
	for b.Loop() {
		policy.Check(view, facts, policy.DefaultSettings())
	}
}

// BenchmarkSweep checks every APIRule of a large cluster, as the audit does.
func BenchmarkSweep(b *testing.B) {
	world := crowd(10_000)
	b.ReportAllocs()
	for b.Loop() {
		for _, view := range world.APIRules() {
			policy.Check(view, world.Facts(b.Context(), view), policy.DefaultSettings())
		}
	}
}

// What a request costs must not grow with the cluster. Allocations tell it on
// any machine, where time does not.
func TestFactsCostTheSameInALargeCluster(t *testing.T) {
	allocations := map[int]float64{}
	for _, size := range []int{10, 10_000} {
		world, view := crowd(size), ruled(size/2, apirule.ExtAuth)
		allocations[size] = testing.AllocsPerRun(100, func() { world.Facts(t.Context(), view) })
	}
	assert.InDelta(t, allocations[10], allocations[10_000], 1, "allocations in a cluster of 10 and of 10,000 APIRules")
}
