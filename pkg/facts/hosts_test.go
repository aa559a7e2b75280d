// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

const gateway = "kyma-system/kyma-gateway"

func hosted(name, gateway string, hosts ...string) apirule.View {
	view := apiRule(in("shop", name), in("shop", name), "corp")
	view.Hosts, view.Gateway = hosts, gateway
	return view
}

func TestWhoHasAHost(t *testing.T) {
	domain := func(w *facts.World) { w.SetGateway(in("kyma-system", "kyma-gateway"), "example.com") }
	byHand := istio.VirtualService{Hosts: []string{"a.example.com"}, Gateways: []string{gateway}}
	for name, tc := range map[string]struct {
		change func(*facts.World)
		self   apirule.View
		want   map[string]string
	}{
		"nobody":       {func(*facts.World) {}, hosted("self", gateway, "a.example.com"), nil},
		"itself":       {func(w *facts.World) { w.SetAPIRule(hosted("self", gateway, "a.example.com")) }, hosted("self", gateway, "a.example.com"), nil},
		"another host": {func(w *facts.World) { w.SetAPIRule(hosted("b", gateway, "b.example.com")) }, hosted("self", gateway, "a.example.com"), nil},
		"an APIRule": {
			func(w *facts.World) { w.SetAPIRule(hosted("b", "web/gateway", "a.example.com")) },
			hosted("self", gateway, "a.example.com"),
			map[string]string{"a.example.com": "APIRule shop/b"},
		},
		"a short host under the domain": {
			func(w *facts.World) { domain(w); w.SetAPIRule(hosted("b", "web/gateway", "a.example.com")) },
			hosted("self", gateway, "a"),
			map[string]string{"a": "APIRule shop/b"},
		},
		"a domain that is known later": {
			func(w *facts.World) { w.SetAPIRule(hosted("b", gateway, "a")); domain(w) },
			hosted("self", "web/gateway", "a.example.com"),
			map[string]string{"a.example.com": "APIRule shop/b"},
		},
		"a domain that is gone": {
			func(w *facts.World) {
				domain(w)
				w.SetAPIRule(hosted("b", gateway, "a"))
				w.DeleteGateway(in("kyma-system", "kyma-gateway"))
			}, hosted("self", "web/gateway", "a.example.com"), nil,
		},
		"short hosts of one unknown domain":  {func(w *facts.World) { w.SetAPIRule(hosted("b", gateway, "a")) }, hosted("self", gateway, "a"), map[string]string{"a": "APIRule shop/b"}},
		"short hosts of two unknown domains": {func(w *facts.World) { w.SetAPIRule(hosted("b", "web/gateway", "a")) }, hosted("self", gateway, "a"), nil},
		"a VirtualService": {
			func(w *facts.World) { w.SetVirtualService(in("web", "raw"), byHand) },
			hosted("self", gateway, "a.example.com"),
			map[string]string{"a.example.com": "VirtualService web/raw"},
		},
		"a VirtualService before an APIRule": {
			func(w *facts.World) {
				w.SetAPIRule(hosted("b", gateway, "a.example.com"))
				w.SetVirtualService(in("web", "raw"), byHand)
			}, hosted("self", gateway, "a.example.com"), map[string]string{"a.example.com": "VirtualService web/raw"},
		},
		"a VirtualService inside of the mesh": {
			func(w *facts.World) {
				w.SetVirtualService(in("web", "raw"), istio.VirtualService{Hosts: []string{"a.example.com"}})
			}, hosted("self", gateway, "a.example.com"), nil,
		},
		"all of them, moved or removed": {
			func(w *facts.World) {
				w.SetAPIRule(hosted("b", gateway, "a.example.com"))
				w.SetAPIRule(hosted("b", gateway, "b.example.com"))
				w.SetAPIRule(hosted("c", gateway, "a.example.com"))
				w.DeleteAPIRule(in("shop", "c"))
				w.SetVirtualService(in("web", "raw"), byHand)
				w.SetVirtualService(in("web", "raw"), istio.VirtualService{})
				w.SetVirtualService(in("web", "two"), byHand)
				w.DeleteVirtualService(in("web", "two"))
			}, hosted("self", gateway, "a.example.com"), nil,
		},
		"one that is being deleted": {
			func(w *facts.World) {
				going := hosted("b", gateway, "a.example.com")
				going.Deleting = true
				w.SetAPIRule(going)
			}, hosted("self", gateway, "a.example.com"), nil,
		},
		"a manifest of another version": {
			func(w *facts.World) {
				w.SetAPIRule(hosted("b", gateway, "a.example.com"))
				w.Renew(in("shop", "b"), gateway, []string{"b.example.com"})
			}, hosted("self", gateway, "b.example.com", "a.example.com"), map[string]string{"b.example.com": "APIRule shop/b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			tc.change(world)
			assert.Equal(t, tc.want, world.Facts(t.Context(), tc.self).HostsTaken)
		})
	}
}

func TestWhoIsToldOfAHost(t *testing.T) {
	world := facts.NewWorld("")
	world.SetAPIRule(hosted("a", gateway, "a.example.com"))
	world.SetAPIRule(hosted("short", "web/gateway", "a"))
	var told []types.NamespacedName
	world.Subscribe(func(change facts.Change) { told = change.Affected })
	world.SetAPIRule(hosted("b", gateway, "a.example.com"))
	assert.Equal(t, []types.NamespacedName{in("shop", "a"), in("shop", "b")}, told, "another APIRule takes the host")
	world.SetAPIRule(hosted("b", gateway, "b.example.com"))
	assert.Equal(t, []types.NamespacedName{in("shop", "a"), in("shop", "b")}, told, "it moves away")
	world.SetVirtualService(in("web", "raw"), istio.VirtualService{Hosts: []string{"a.example.com"}, Gateways: []string{gateway}})
	assert.Equal(t, []types.NamespacedName{in("shop", "a")}, told, "a VirtualService takes it")
	world.SetGateway(in("web", "gateway"), "example.com")
	assert.Equal(t, []types.NamespacedName{in("shop", "a"), in("shop", "short")}, told, "a short host becomes this one")
}

func TestWhatLetsTheGatewayIn(t *testing.T) {
	app := policy.SelectorOf(map[string]string{"app": "self"})
	open := func(name string, allows ...istio.Allow) func(*facts.World) {
		return func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", name), &facts.AuthorizationPolicy{Selector: app, Allows: allows})
		}
	}
	widening := func(name string, allow istio.Allow) policy.Widening {
		return policy.Widening{Object: "AuthorizationPolicy shop/" + name, Allow: allow}
	}
	get, far := istio.Allow{Methods: []string{"GET"}}, istio.Allow{Hosts: []string{"far.example.com"}}
	many := make([]policy.Widening, 0, 32)
	for i := range 31 {
		many = append(many, widening(fmt.Sprintf("p%02d", i), get))
	}
	for name, tc := range map[string]struct {
		change func(*facts.World)
		want   []policy.Widening
	}{
		"nothing":           {func(*facts.World) {}, nil},
		"a policy":          {open("p", get), []policy.Widening{widening("p", get)}},
		"of another host":   {open("p", far), nil},
		"a part of it":      {open("p", far, get), []policy.Widening{widening("p", get)}},
		"in order of names": {func(w *facts.World) { open("q", get)(w); open("p", get)(w) }, []policy.Widening{widening("p", get), widening("q", get)}},
		"removed again":     {func(w *facts.World) { open("p", get)(w); w.DeleteAuthorizationPolicy(in("shop", "p")) }, nil},
		"of another Service": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Selector: policy.SelectorOf(map[string]string{"app": "x"}), Allows: []istio.Allow{get}})
		}, nil},
		"of the mesh": {
			func(w *facts.World) {
				w.SetAuthorizationPolicy(in("istio-system", "p"), &facts.AuthorizationPolicy{Allows: []istio.Allow{get}})
			},
			[]policy.Widening{{Object: "AuthorizationPolicy istio-system/p", Allow: get}},
		},
		"more than are compared": {func(w *facts.World) {
			for i := range 40 {
				open(fmt.Sprintf("p%02d", i), get)(w)
			}
		}, append(many, widening("p31", istio.Allow{}))},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			world.SetService(in("shop", "self"), policy.Service{Selector: app})
			tc.change(world)
			found := world.Facts(t.Context(), hosted("self", gateway, "a.example.com"))
			assert.Equal(t, tc.want, found.Widenings[in("shop", "self")])
			assert.Empty(t, found.Neighbours)
		})
	}
}
