// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// admitted is an APIRule in front of a Service, protected by an authorizer, "" for none.
func admitted(namespace, name, service, authorizer string) apirule.View {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}, "service": map[string]any{"name": service, "namespace": "shop"}}
	if authorizer == "" {
		rule["noAuth"] = true
	} else {
		rule["extAuth"] = map[string]any{"authorizers": []any{authorizer}}
	}
	return apirule.Parse(map[string]any{
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"hosts": []any{name}, "gateway": "kyma-system/kyma-gateway", "rules": []any{rule}},
	}, "")
}

func TestRecent(t *testing.T) {
	start := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	conflict := []policy.Neighbour{{Object: "APIRule shop/a", Authorizer: "corp"}}
	for name, tc := range map[string]struct {
		// before happens after shop/a was admitted, before shop/b is asked about.
		before func(recent *facts.Recent, world *facts.World)
		after  time.Duration
		second apirule.View
		want   []policy.Neighbour
	}{
		"at once":                           {want: conflict},
		"by a Service of the same workload": {second: admitted("shop", "b", "web-too", "oauth2-proxy"), want: conflict},
		"another workload":                  {second: admitted("shop", "b", "other", "oauth2-proxy")},
		"the same APIRule again":            {second: admitted("shop", "a", "web", "oauth2-proxy")},
		"of another namespace":              {second: admitted("bank", "b", "web", "oauth2-proxy"), want: conflict},
		"within the time":                   {after: 2*time.Second - 1, want: conflict},
		"later":                             {after: 2 * time.Second},
		"the watch has shown it": {before: func(_ *facts.Recent, world *facts.World) {
			world.SetAPIRule(admitted("shop", "a", "web", "corp"))
		}, want: conflict},
		"the watch has shown something that came later": {before: func(_ *facts.Recent, world *facts.World) {
			world.SetAPIRule(admitted("shop", "a", "other", "third"))
		}},
		"the watch has shown it and that it is gone": {before: func(_ *facts.Recent, world *facts.World) {
			world.SetAPIRule(admitted("shop", "a", "web", "corp"))
			world.DeleteAPIRule(types.NamespacedName{Namespace: "shop", Name: "a"})
		}},
		"the watch has shown nothing new": {before: func(_ *facts.Recent, world *facts.World) {
			world.SetAPIRule(admitted("shop", "a", "web", ""))
		}, want: conflict},
		"admitted again without authorizers": {before: func(recent *facts.Recent, _ *facts.World) {
			recent.Admit(admitted("shop", "a", "web", ""), &policy.Facts{}, start)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			for _, service := range []string{"web", "web-too", "other"} {
				app := map[string]string{"web": "web", "web-too": "web", "other": "other"}[service]
				world.SetService(types.NamespacedName{Namespace: "shop", Name: service}, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": app})})
			}
			recent := facts.NewRecent(world)
			first := admitted("shop", "a", "web", "corp")
			around := world.Facts(t.Context(), first)
			recent.Around(first, &around, start)
			require.True(t, recent.Admit(first, &around, start))
			assert.Empty(t, around.Neighbours)
			if tc.before != nil {
				tc.before(recent, world)
			}
			second := tc.second
			if second.Name == "" {
				second = admitted("shop", "b", "web", "oauth2-proxy")
			}
			around = world.Facts(t.Context(), second)
			recent.Around(second, &around, start.Add(tc.after))
			assert.Equal(t, tc.want, around.Neighbours[second.Rules[0].Service])
		})
	}
}

func TestRecentKeepsWhatIsThereAndIsBounded(t *testing.T) {
	world := facts.NewWorld("")
	world.SetAPIRule(admitted("shop", "known", "web", "corp"))
	recent := facts.NewRecent(world)
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3000 {
		recent.Admit(admitted("shop", fmt.Sprintf("r%04d", i), fmt.Sprintf("s%04d", i), "corp"), &policy.Facts{}, now.Add(time.Duration(i)))
	}
	neighbours := func(service string) []policy.Neighbour {
		view := admitted("bank", "asks", service, "oauth2-proxy")
		around := world.Facts(t.Context(), view)
		recent.Around(view, &around, now.Add(time.Millisecond))
		return around.Neighbours[view.Rules[0].Service]
	}
	assert.Empty(t, neighbours("s0000"), "the oldest were forgotten")
	assert.NotEmpty(t, neighbours("s2999"))
	assert.Equal(t, []policy.Neighbour{{Object: "APIRule shop/known", Authorizer: "corp"}}, neighbours("web"))
	var none *facts.Recent
	none.Around(admitted("shop", "a", "web", "corp"), &policy.Facts{}, now)
	assert.True(t, none.Admit(admitted("shop", "a", "web", "corp"), &policy.Facts{}, now))
}

// Of two that are admitted at the same time, exactly one is told of the other, and then once.
func TestRecentAtOnce(t *testing.T) {
	for range 200 {
		world := facts.NewWorld("")
		recent := facts.NewRecent(world)
		views := []apirule.View{admitted("shop", "a", "web", "corp"), admitted("shop", "b", "web", "oauth2-proxy")}
		again := make([]int, len(views))
		var group sync.WaitGroup
		for i, view := range views {
			group.Go(func() {
				around := world.Facts(t.Context(), view)
				for !recent.Admit(view, &around, time.Time{}) {
					again[i]++
				}
			})
		}
		group.Wait()
		require.Equal(t, 1, again[0]+again[1], "exactly one is second")
	}
}

// One that was asked about and refused stands in nobody's way.
func TestRecentForgetsWhatWasRefused(t *testing.T) {
	world := facts.NewWorld("")
	recent := facts.NewRecent(world)
	refused, right := admitted("shop", "a", "web", "corpp"), admitted("shop", "b", "web", "corp")
	around := world.Facts(t.Context(), refused)
	recent.Around(refused, &around, time.Time{})
	around = world.Facts(t.Context(), right)
	recent.Around(right, &around, time.Time{})
	assert.Empty(t, around.Neighbours)
	assert.True(t, recent.Admit(right, &around, time.Time{}))
}
