// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Who calls a workload from inside the mesh is kept out by the ALLOW policies that Kyma makes
// of every rule, and by those of others.
func TestRestricted(t *testing.T) {
	cart, self := in("shop", "cart"), in("shop", "self")
	app := policy.SelectorOf(map[string]string{"app": "cart"})
	open := func(name, service types.NamespacedName) apirule.View {
		view := apiRule(name, service, "")
		view.Rules[0].Strategy = apirule.NoAuth
		return view
	}
	restricts := &facts.AuthorizationPolicy{Selector: app, Restricts: true}
	for name, tc := range map[string]struct {
		change func(*facts.World)
		want   bool
	}{
		"nothing but the APIRule":   {func(w *facts.World) { w.SetAPIRule(apiRule(self, cart, "corp")) }, false},
		"another protected APIRule": {func(w *facts.World) { w.SetAPIRule(apiRule(in("shop", "other"), cart, "corp")) }, true},
		"another open APIRule":      {func(w *facts.World) { w.SetAPIRule(open(in("far", "other"), cart)) }, true},
		"one in front of another Service of the workload": {func(w *facts.World) {
			w.SetService(in("shop", "too"), policy.Service{Selector: app})
			w.SetAPIRule(open(in("shop", "other"), in("shop", "too")))
		}, true},
		"one in front of another workload": {func(w *facts.World) {
			w.SetService(in("shop", "too"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "too"})})
			w.SetAPIRule(open(in("shop", "other"), in("shop", "too")))
		}, false},
		"one that is gone": {func(w *facts.World) {
			w.SetAPIRule(open(in("shop", "other"), cart))
			w.DeleteAPIRule(in("shop", "other"))
		}, false},
		"what Kyma left of another one": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "other-1"), &facts.AuthorizationPolicy{Owner: in("shop", "other"), Selector: app, Provider: "corp"})
		}, true},
		"what Kyma made of the APIRule itself": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "self-1"), &facts.AuthorizationPolicy{Owner: self, Selector: app, Provider: "corp"})
		}, false},
		"a policy by hand that lets some in": {func(w *facts.World) { w.SetAuthorizationPolicy(in("shop", "hand"), restricts) }, true},
		"one of the mesh":                    {func(w *facts.World) { w.SetAuthorizationPolicy(in("istio-system", "hand"), restricts) }, true},
		"one of another namespace":           {func(w *facts.World) { w.SetAuthorizationPolicy(in("far", "hand"), restricts) }, false},
		"a policy by hand that asks an authorizer": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "hand"), &facts.AuthorizationPolicy{Selector: app, Provider: "corp"})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			world.SetService(cart, policy.Service{Selector: app})
			tc.change(world)
			assert.Equal(t, tc.want, world.Facts(t.Context(), apiRule(self, cart, "corp")).Restricted[cart])
		})
	}
}
