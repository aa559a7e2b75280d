// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// What Kyma made of an APIRule and did not replace is in force, whatever the APIRule says now.
func TestWhatKymaDidNotReplace(t *testing.T) {
	cart := in("shop", "cart")
	app := policy.SelectorOf(map[string]string{"app": "cart"})
	madeOf := func(owner types.NamespacedName, provider string) *facts.AuthorizationPolicy {
		return &facts.AuthorizationPolicy{Owner: owner, Selector: app, Provider: provider}
	}
	left := []policy.Neighbour{{Object: "APIRule shop/other", Authorizer: "corp", Left: true}}
	for name, tc := range map[string]struct {
		change func(*facts.World)
		want   []policy.Neighbour
	}{
		"what its APIRule says too": {func(w *facts.World) {
			w.SetAPIRule(apiRule(in("shop", "other"), cart, "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
		}, []policy.Neighbour{{Object: "APIRule shop/other", Authorizer: "corp"}}},
		"what its APIRule said before": {func(w *facts.World) {
			w.SetAPIRule(apiRule(in("shop", "other"), cart, "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
			w.SetAPIRule(apiRule(in("shop", "other"), in("shop", "elsewhere"), "corp"))
		}, left},
		"of an APIRule that is gone": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
		}, left},
		"of an APIRule whose Service selects others now": {func(w *facts.World) {
			w.SetService(in("shop", "old"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "new"})})
			w.SetAPIRule(apiRule(in("shop", "other"), in("shop", "old"), "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
		}, left},
		"of the APIRule itself, which Kyma is about to replace": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "self-1"), madeOf(in("shop", "self"), "corp"))
		}, nil},
		"of an APIRule elsewhere": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("far", "other"), "corp"))
		}, []policy.Neighbour{{Object: "APIRule far/other", Authorizer: "corp", Left: true, Foreign: true}}},
		"of an APIRule that manifests are about to replace": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
			w.Renew(in("shop", "other"), gateway, nil)
		}, nil},
		"one of two policies is gone": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-2"), madeOf(in("shop", "other"), "corp"))
			w.DeleteAuthorizationPolicy(in("shop", "other-1"))
		}, left},
		"all are gone": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-1"), nil)
		}, nil},
		"a policy that changed hands": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), madeOf(in("shop", "other"), "corp"))
			w.SetAuthorizationPolicy(in("shop", "other-1"), &facts.AuthorizationPolicy{Selector: app, Provider: "corp"})
		}, []policy.Neighbour{{Object: "AuthorizationPolicy shop/other-1", Authorizer: "corp"}}},
		"who says so itself is named first": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "a-1"), madeOf(in("shop", "a"), "corp"))
			w.SetAPIRule(apiRule(in("far", "z"), cart, "corp"))
		}, []policy.Neighbour{{Object: "APIRule far/z", Authorizer: "corp", Foreign: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			world.SetService(cart, policy.Service{Selector: app})
			tc.change(world)
			assert.Equal(t, tc.want, world.Facts(t.Context(), apiRule(in("shop", "self"), cart, "corp")).Neighbours[cart])
		})
	}
}

func TestWhoIsToldOfWhatIsLeft(t *testing.T) {
	cart, app := in("shop", "cart"), policy.SelectorOf(map[string]string{"app": "cart"})
	world := facts.NewWorld("")
	world.SetService(cart, policy.Service{Selector: app})
	world.SetAPIRule(apiRule(in("shop", "self"), cart, "corp"))
	world.SetAPIRule(apiRule(in("shop", "other"), cart, "corp"))
	var told []types.NamespacedName
	world.Subscribe(func(change facts.Change) { told = change.Affected })
	one := &facts.AuthorizationPolicy{Owner: in("shop", "other"), Selector: app, Provider: "corp"}
	world.SetAuthorizationPolicy(in("shop", "other-1"), one)
	assert.Empty(t, told, "it says what its APIRule says")
	world.DeleteAPIRule(in("shop", "other"))
	assert.Contains(t, told, in("shop", "self"), "nobody explains it any more")
	told = nil
	world.DeleteAuthorizationPolicy(in("shop", "other-1"))
	assert.Equal(t, []types.NamespacedName{in("shop", "self")}, told, "it is gone")
}
