// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func in(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// cr is an Istio CR in kyma-system with authorizers of these names.
func cr(name, created string, authorizers ...string) istio.View {
	view := istio.View{Namespace: istio.Namespace, Name: name, Created: created}
	for i, authorizer := range authorizers {
		view.Authorizers = append(view.Authorizers, istio.Authorizer{Index: i, Name: authorizer, Service: authorizer + ".auth.svc.cluster.local", Port: 80})
	}
	return view
}

// apiRule is one with a rule for each authorizer at the Service; "" is a jwt.
func apiRule(name, service types.NamespacedName, authorizers ...string) apirule.View {
	view := apirule.View{Namespace: name.Namespace, Name: name.Name}
	for i, authorizer := range authorizers {
		rule := apirule.Rule{Index: i, Service: service, Strategy: apirule.JWT}
		if authorizer != "" {
			rule.Strategy, rule.Authorizers = apirule.ExtAuth, []string{authorizer}
		}
		view.Rules = append(view.Rules, rule)
	}
	return view
}

func TestRegistryIsUnknownUntilToldOtherwise(t *testing.T) {
	world := facts.NewWorld("the watch has not started")
	assert.False(t, world.Registry().Known)
	assert.Equal(t, "the watch has not started", world.Registry().Reason)

	world.SetRegistry(policy.StaticRegistry("a flag", []string{"corp"}))
	assert.Equal(t, []string{"corp"}, world.Registry().Names())

	world.DeleteIstio(in("kyma-system", "none")) // the watch has seen everything
	assert.False(t, world.Registry().Known)
	assert.Equal(t, "there is no Istio CR in the namespace kyma-system", world.Registry().Reason)
}

// An absent Istio CR is not an empty one.
func TestRegistryFollowsTheActiveIstioCR(t *testing.T) {
	world := facts.NewWorld("")
	world.SetIstio(cr("younger", "2026-01-02T00:00:00Z", "corp"))
	assert.Equal(t, []string{"corp"}, world.Registry().Names())

	world.SetIstio(cr("older", "2026-01-01T00:00:00Z"))
	assert.True(t, world.Registry().Known)
	assert.Empty(t, world.Registry().Names(), "the oldest counts, and it has none")

	world.SetIstio(cr("older", "2026-01-01T00:00:00Z", "oauth2-proxy"))
	assert.Equal(t, []string{"oauth2-proxy"}, world.Registry().Names())

	foreign := cr("oldest", "2020-01-01T00:00:00Z", "foreign")
	foreign.Namespace = "shop"
	world.SetIstio(foreign)
	assert.Equal(t, []string{"oauth2-proxy"}, world.Registry().Names())

	world.DeleteIstio(in("kyma-system", "older"))
	assert.Equal(t, []string{"corp"}, world.Registry().Names())
	world.DeleteIstio(in("kyma-system", "younger"))
	assert.False(t, world.Registry().Known)
}

// Two CRs of the same second must not be the active one by turns.
func TestRegistryOfEquallyOldIstioCRsIsStable(t *testing.T) {
	for range 50 {
		world := facts.NewWorld("")
		for _, name := range []string{"b", "d", "a", "c"} {
			world.SetIstio(cr(name, "2026-01-01T00:00:00Z", "of-"+name))
		}
		require.Equal(t, []string{"of-d"}, world.Registry().Names())
	}
}

func TestRegistryKeepsTheMesh(t *testing.T) {
	world := facts.NewWorld("")
	world.SetIstio(cr("default", "", "corp", "late"))
	assert.True(t, world.Registry().Effective("late"), "while the mesh is not known")
	world.SetMesh(&istio.Mesh{Providers: map[string]bool{"corp": true}})
	assert.True(t, world.Registry().Effective("corp"))
	assert.False(t, world.Registry().Effective("late"))

	world.SetIstio(cr("default", "", "corp", "later"))
	assert.False(t, world.Registry().Effective("later"), "a change of the CR does not forget the mesh")
	assert.False(t, world.RegistryOf([]istio.View{cr("other", "", "x")}).Effective("x"))
	world.SetMesh(nil)
	assert.True(t, world.Registry().Effective("later"))
}

func TestFactsAreWhatIsAroundTheAPIRule(t *testing.T) {
	world := facts.NewWorld("unknown")
	cart := policy.Service{Annotations: map[string]string{"a": "b"}, Selector: policy.SelectorOf(map[string]string{"app": "cart"})}
	world.SetService(in("shop", "cart"), cart)
	world.SetService(in("shop", "other"), policy.Service{})
	world.SetNamespace("shop", policy.Namespace{Annotations: map[string]string{"c": "d"}})
	world.SetNamespace("far", policy.Namespace{Labels: map[string]string{"e": "f"}})
	world.SetNamespace("other", policy.Namespace{})

	view := apiRule(in("shop", "a"), in("shop", "cart"), "")
	view.Rules = append(view.Rules, apirule.Rule{Index: 1, Service: in("far", "gone")}, apirule.Rule{Index: 2})
	facts := world.Facts(t.Context(), view)
	assert.Equal(t, "unknown", facts.Registry.Reason)
	assert.Empty(t, cmp.Diff(map[types.NamespacedName]policy.Service{in("shop", "cart"): cart}, facts.Services))
	assert.Equal(t, map[string]string{"c": "d"}, facts.Namespaces["shop"].Annotations)
	assert.Equal(t, map[string]string{"e": "f"}, facts.Namespaces["far"].Labels)
	assert.Len(t, facts.Namespaces, 2)

	world.DeleteService(in("shop", "cart"))
	world.DeleteNamespace("shop")
	world.DeleteService(in("shop", "never"))
	world.DeleteNamespace("never")
	facts = world.Facts(t.Context(), view)
	assert.NotNil(t, facts.Services, "somebody looked")
	assert.Empty(t, facts.Services)
	assert.NotContains(t, facts.Namespaces, "shop")
}

func TestFactsOfBackends(t *testing.T) {
	view := apiRule(in("shop", "a"), in("shop", "cart"), "corp", "gone", "short", "huge")
	world := facts.NewWorld("")
	backends := func() map[string]policy.Backend { return world.Facts(t.Context(), view).Backends }
	active := cr("default", "", "corp", "short", "huge")
	active.Authorizers[1].Service = "short"
	active.Authorizers[2].Port = 1<<32 + 80
	world.SetIstio(active)
	corp, huge := in("auth", "corp"), in("auth", "huge")
	assert.Empty(t, cmp.Diff(map[string]policy.Backend{"corp": {Service: corp}, "huge": {Service: huge}}, backends()), "what is not registered or no Service is not known")

	world.SetService(corp, policy.Service{Ports: []int32{443}})
	world.SetService(huge, policy.Service{Ports: []int32{80}})
	assert.Equal(t, policy.Backend{Service: corp, Exists: true}, backends()["corp"])
	assert.Equal(t, policy.Backend{Service: huge, Exists: true}, backends()["huge"], "a port too large for any is none")
	world.SetService(corp, policy.Service{Ports: []int32{443, 80}})
	assert.Equal(t, policy.Backend{Service: corp, Exists: true, HasPort: true}, backends()["corp"])

	world.SetEndpoints(corp, "one", false)
	assert.False(t, backends()["corp"].Ready)
	world.SetEndpoints(corp, "two", true)
	assert.True(t, backends()["corp"].Ready, "one ready slice is enough")
	world.DeleteEndpoints(corp, "two")
	assert.False(t, backends()["corp"].Ready)
	world.SetEndpoints(corp, "one", true)
	world.DeleteEndpoints(corp, "one")
	world.DeleteEndpoints(corp, "never")
	assert.False(t, backends()["corp"].Ready)
}

func TestNeighbours(t *testing.T) {
	cart := in("shop", "cart")
	self := apiRule(in("shop", "self"), cart, "corp")
	build := func(change func(*facts.World)) []policy.Neighbour {
		world := facts.NewWorld("")
		world.SetService(cart, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "cart", "track": "new"})})
		world.SetAPIRule(self)
		change(world)
		return world.Facts(t.Context(), self).Neighbours[cart]
	}
	service := func(world *facts.World, name types.NamespacedName, selector map[string]string, authorizers ...string) {
		world.SetService(name, policy.Service{Selector: policy.SelectorOf(selector)})
		world.SetAPIRule(apiRule(in(name.Namespace, "of-"+name.Name), name, authorizers...))
	}
	cases := map[string]struct {
		change func(*facts.World)
		want   []policy.Neighbour
	}{
		"nobody, not even itself": {func(*facts.World) {}, nil},
		"another APIRule of the Service": {
			func(w *facts.World) { w.SetAPIRule(apiRule(in("far", "b"), cart, "other", "")) },
			[]policy.Neighbour{{Object: "APIRule far/b", Foreign: true}, {Object: "APIRule far/b", Authorizer: "other", Foreign: true}},
		},
		"one of the Service's namespace before others": {
			func(w *facts.World) {
				for _, name := range []types.NamespacedName{in("far", "a"), in("far", "b"), in("shop", "z")} {
					w.SetAPIRule(apiRule(name, cart, "corp"))
				}
			},
			[]policy.Neighbour{{Object: "APIRule shop/z", Authorizer: "corp"}},
		},
		"of several with one authorizer the first by name": {
			func(w *facts.World) {
				for _, name := range []string{"c", "a", "b"} {
					w.SetAPIRule(apiRule(in("shop", name), cart, "corp"))
				}
			},
			[]policy.Neighbour{{Object: "APIRule shop/a", Authorizer: "corp"}},
		},
		"a Service with a larger selector": {func(w *facts.World) {
			service(w, in("shop", "pay"), map[string]string{"app": "cart", "track": "new", "x": "y"}, "other")
		}, []policy.Neighbour{{Object: "APIRule shop/of-pay", Authorizer: "other"}}},
		"a Service with a smaller selector": {func(w *facts.World) { service(w, in("shop", "pay"), map[string]string{"app": "cart"}, "other") }, []policy.Neighbour{{Object: "APIRule shop/of-pay", Authorizer: "other"}}},
		"a Service with another selector": {func(w *facts.World) {
			service(w, in("shop", "pay"), map[string]string{"app": "cart", "track": "old"}, "other")
		}, nil},
		"a Service of another namespace": {func(w *facts.World) { service(w, in("far", "pay"), map[string]string{"app": "cart"}, "other") }, nil},
		"a Service without selector":     {func(w *facts.World) { service(w, in("shop", "pay"), nil, "other") }, nil},
		"an APIRule whose rules protect nobody": {func(w *facts.World) {
			v := apiRule(in("shop", "b"), cart, "")
			v.Rules[0].Strategy = apirule.NoAuth
			w.SetAPIRule(v)
		}, nil},
		"a policy of the Pods": {
			func(w *facts.World) {
				w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Selector: policy.SelectorOf(map[string]string{"app": "cart"}), Provider: "other"})
			},
			[]policy.Neighbour{{Object: "AuthorizationPolicy shop/p", Authorizer: "other"}},
		},
		"a policy of the namespace": {
			func(w *facts.World) {
				w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Provider: "other"})
			},
			[]policy.Neighbour{{Object: "AuthorizationPolicy shop/p", Authorizer: "other"}},
		},
		"a policy of another namespace": {func(w *facts.World) {
			w.SetAuthorizationPolicy(in("far", "p"), &facts.AuthorizationPolicy{Provider: "other"})
		}, nil},
		"a policy of the mesh": {
			func(w *facts.World) {
				w.SetAuthorizationPolicy(in("istio-system", "p"), &facts.AuthorizationPolicy{Provider: "other"})
			},
			[]policy.Neighbour{{Object: "AuthorizationPolicy istio-system/p", Authorizer: "other"}},
		},
		"a policy that was changed": {
			func(w *facts.World) {
				w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Provider: "other"})
				w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Selector: policy.SelectorOf(map[string]string{"app": "pay"}), Provider: "other"})
			}, nil,
		},
		"all of them, removed again": {
			func(w *facts.World) {
				service(w, in("shop", "pay"), map[string]string{"app": "cart"}, "other")
				w.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{Provider: "third"})
				w.SetAPIRule(apiRule(in("shop", "b"), cart, "fourth"))
				w.DeleteService(in("shop", "pay"))
				w.DeleteAuthorizationPolicy(in("shop", "p"))
				w.DeleteAuthorizationPolicy(in("shop", "never"))
				w.DeleteAPIRule(in("shop", "b"))
				w.DeleteAPIRule(in("shop", "never"))
			}, nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, build(tc.change)))
		})
	}
}

func TestUsersAndAPIRules(t *testing.T) {
	world := facts.NewWorld("")
	world.SetIstio(cr("default", "2026-01-01T00:00:00Z", "corp"))
	world.SetIstio(cr("second", "2026-01-02T00:00:00Z"))
	for _, name := range []string{"c", "a", "b"} {
		world.SetAPIRule(apiRule(in("shop", name), in("shop", "cart"), "corp", "corp", ""))
	}
	world.SetAPIRule(apiRule(in("far", "z"), in("shop", "cart"), "corp"))
	assert.Equal(t, []string{"far/z", "shop/a", "shop/b", "shop/c"}, world.Users("corp"))
	assert.Empty(t, world.Users("other"))
	assert.Empty(t, world.Users(""), "a jwt is no authorizer")

	facts := world.IstioFacts(in("kyma-system", "default"))
	require.Len(t, facts.Others, 1)
	assert.Equal(t, "second", facts.Others[0].Name)
	assert.Len(t, facts.Users("corp"), 4)
	assert.Len(t, world.IstioFacts(in("kyma-system", "never")).Others, 2)

	world.SetAPIRule(apiRule(in("shop", "a"), in("shop", "cart"), "other"))
	world.DeleteAPIRule(in("far", "z"))
	assert.Equal(t, []string{"shop/b", "shop/c"}, world.Users("corp"))
	assert.Equal(t, []string{"shop/a"}, world.Users("other"))

	var names []string
	for _, view := range world.APIRules() {
		names = append(names, view.Name)
	}
	assert.Equal(t, []string{"a", "b", "c"}, names)
	_, exists := world.APIRule(in("shop", "b"))
	assert.True(t, exists)
	_, exists = world.APIRule(in("far", "z"))
	assert.False(t, exists)
}

func TestWatchersAreToldAfterTheChange(t *testing.T) {
	world := facts.NewWorld("")
	var told []facts.Change
	world.Subscribe(func(change facts.Change) {
		told = append(told, change)
		if change.Kind == facts.Istio {
			assert.Equal(t, change.Name.Name != "", world.Registry().Known, "the change is there, and the world may be asked")
		}
	})
	world.SetMesh(nil)
	world.SetIstio(cr("default", ""))
	world.SetService(in("shop", "cart"), policy.Service{})
	world.DeleteService(in("shop", "cart"))
	world.SetNamespace("shop", policy.Namespace{})
	world.DeleteNamespace("shop")
	world.SetAPIRule(apiRule(in("shop", "a"), in("shop", "cart")))
	world.DeleteAPIRule(in("shop", "a"))
	world.SetAuthorizationPolicy(in("shop", "p"), &facts.AuthorizationPolicy{})
	world.DeleteAuthorizationPolicy(in("shop", "p"))
	assert.Empty(t, cmp.Diff([]facts.Change{
		{Kind: facts.Istio, All: true},
		{Kind: facts.Istio, Name: in("kyma-system", "default"), All: true},
		{Kind: facts.Service, Name: in("shop", "cart")},
		{Kind: facts.Service, Name: in("shop", "cart")},
		{Kind: facts.Namespace, Name: in("", "shop")},
		{Kind: facts.Namespace, Name: in("", "shop")},
		{Kind: facts.APIRule, Name: in("shop", "a"), Affected: []types.NamespacedName{in("shop", "a")}},
		{Kind: facts.APIRule, Name: in("shop", "a"), Affected: []types.NamespacedName{in("shop", "a")}},
		{Kind: facts.AuthorizationPolicies, Name: in("shop", "p")},
		{Kind: facts.AuthorizationPolicies, Name: in("shop", "p")},
	}, told))
}

// The index answers what a scan over everything would, after any history, also
// for selectors that are too large to look up every part of.
func TestIndexAgreesWithAScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same worlds each time
	selector := func() policy.Selector {
		labels := map[string]string{}
		size := random.IntN(4)
		if random.IntN(4) == 0 {
			size = 12
		}
		for i := range size {
			if random.IntN(8) > 0 {
				labels[fmt.Sprint("k", i)] = fmt.Sprint("v", random.IntN(2)*random.IntN(2))
			}
		}
		return policy.SelectorOf(labels)
	}
	pick := func(names ...string) string { return names[random.IntN(len(names))] }
	world := facts.NewWorld("")
	services, rules, policies := map[types.NamespacedName]policy.Selector{}, map[types.NamespacedName]apirule.View{}, map[types.NamespacedName]facts.AuthorizationPolicy{}
	asked, answered := 0, 0
	for range 20_000 {
		name := in(pick("a", "b", "istio-system"), pick("1", "2", "3", "4", "5", "6"))
		switch random.IntN(7) {
		case 0:
			services[name] = selector()
			world.SetService(name, policy.Service{Selector: services[name]})
		case 1:
			delete(services, name)
			world.DeleteService(name)
		case 2:
			rules[name] = apiRule(name, in(name.Namespace, pick("1", "2", "3", "4", "5", "6")), pick("", "x", "y"), pick("", "x", "z"))
			world.SetAPIRule(rules[name])
		case 3:
			delete(rules, name)
			world.DeleteAPIRule(name)
		case 4:
			custom := facts.AuthorizationPolicy{Selector: selector(), Provider: pick("x", "y")}
			policies[name] = custom
			world.SetAuthorizationPolicy(name, &custom)
		case 5:
			delete(policies, name)
			world.DeleteAuthorizationPolicy(name)
		case 6:
			self := apiRule(name, name, "x")
			want := scan(name, self.NamespacedName(), services, rules, policies)
			asked++
			answered += min(len(want), 1)
			require.Empty(t, cmp.Diff(want, world.Facts(t.Context(), self).Neighbours[name]), "around %s", name)
		}
	}
	assert.Greater(t, answered, asked/4, "the worlds are worth asking")
	assert.Less(t, answered, asked, "the worlds are worth asking")
}

// scan finds the neighbours of a Service by looking at everything.
func scan(service, self types.NamespacedName, services map[types.NamespacedName]policy.Selector,
	rules map[types.NamespacedName]apirule.View, policies map[types.NamespacedName]facts.AuthorizationPolicy,
) []policy.Neighbour {
	inside := func(small, large policy.Selector) bool {
		return !slices.ContainsFunc(small, func(pair string) bool { return !slices.Contains(large, pair) })
	}
	own := services[service]
	var found []policy.Neighbour
	for name, view := range rules {
		for _, rule := range view.Rules {
			other := services[rule.Service]
			shares := rule.Service == service || (rule.Service.Namespace == service.Namespace && len(own) > 0 && len(other) > 0 &&
				(inside(own, other) || inside(other, own)))
			if name == self || !shares {
				continue
			}
			neighbour := policy.Neighbour{Object: "APIRule " + name.String()}
			if len(rule.Authorizers) > 0 {
				neighbour.Authorizer = rule.Authorizers[0]
			}
			found = append(found, neighbour)
		}
	}
	for name, custom := range policies {
		reaches := name.Namespace == service.Namespace || name.Namespace == "istio-system"
		if len(own) > 0 && reaches && (inside(own, custom.Selector) || inside(custom.Selector, own)) {
			found = append(found, policy.Neighbour{Object: "AuthorizationPolicy " + name.String(), Authorizer: custom.Provider})
		}
	}
	slices.SortFunc(found, func(a, b policy.Neighbour) int {
		if c := strings.Compare(a.Authorizer, b.Authorizer); c != 0 {
			return c
		}
		return strings.Compare(a.Object, b.Object)
	})
	return slices.CompactFunc(found, func(a, b policy.Neighbour) bool { return a.Authorizer == b.Authorizer })
}

// Everybody asks while everything changes; the race detector looks on.
func TestWorldIsSharedByGoroutines(t *testing.T) {
	world := facts.NewWorld("")
	world.Subscribe(func(facts.Change) { world.Users("corp") })
	view := apiRule(in("shop", "a"), in("shop", "cart"), "corp")
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := range 200 {
				name := in("shop", fmt.Sprint(worker, i%3))
				world.SetService(name, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "x"})})
				world.SetAPIRule(apiRule(name, name, "corp"))
				world.SetIstio(cr("default", "", "corp"))
				world.SetEndpoints(name, "s", true)
				world.SetAuthorizationPolicy(name, &facts.AuthorizationPolicy{Provider: "corp"})
				world.Facts(t.Context(), view)
				world.IstioFacts(in("kyma-system", "default")).Users("corp")
				world.APIRules()
				world.DeleteService(name)
				world.DeleteAPIRule(name)
				world.DeleteAuthorizationPolicy(name)
				world.DeleteEndpoints(name, "s")
			}
		})
	}
	workers.Wait()
	assert.Empty(t, world.APIRules())
	assert.Empty(t, world.Facts(t.Context(), view).Neighbours)
}
