// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// scanned is a world without any index: it answers by looking at everything.
type scanned struct {
	services map[types.NamespacedName]policy.Service
	apirules map[types.NamespacedName]apirule.View
	policies map[types.NamespacedName]facts.AuthorizationPolicy
}

// neighbours says who else acts on the workload behind a Service, by authorizer:
// APIRules in front of it or of a Service with Pods in common, and policies by
// hand that select some of its Pods.
func (s scanned) neighbours(self, service types.NamespacedName) []policy.Neighbour {
	candidates, foreign := map[string][]string{}, map[string][]string{}
	mine := s.services[service]
	for name, view := range s.apirules {
		for _, rule := range view.Rules {
			near := rule.Service == service ||
				(rule.Service.Namespace == service.Namespace && mine.SharesWorkload(s.services[rule.Service]))
			if name == self || !near || !rule.Protected() {
				continue
			}
			of := candidates
			if name.Namespace != service.Namespace {
				of = foreign
			}
			if rule.Strategy == apirule.JWT {
				of[""] = append(of[""], "APIRule "+name.String())
			}
			for _, authorizer := range rule.Authorizers {
				of[authorizer] = append(of[authorizer], "APIRule "+name.String())
			}
		}
	}
	for name, custom := range s.policies {
		reaches := name.Namespace == "istio-system" || name.Namespace == service.Namespace
		if len(mine.Selector) > 0 && reaches && (len(custom.Selector) == 0 || mine.SharesWorkload(policy.Service{Selector: custom.Selector})) {
			candidates[custom.Provider] = append(candidates[custom.Provider], "AuthorizationPolicy "+name.String())
		}
	}
	found := map[string]policy.Neighbour{}
	for authorizer, objects := range foreign {
		found[authorizer] = policy.Neighbour{Authorizer: authorizer, Object: slices.Min(objects), Foreign: true}
	}
	for authorizer, objects := range candidates {
		found[authorizer] = policy.Neighbour{Authorizer: authorizer, Object: slices.Min(objects)}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b policy.Neighbour) int { return strings.Compare(a.Authorizer, b.Authorizer) })
}

func (s scanned) users(authorizer string) []string {
	users := []string{}
	for name, view := range s.apirules {
		for _, rule := range view.Rules {
			if rule.Service.Name != "" && slices.Contains(rule.Authorizers, authorizer) {
				users = append(users, name.String())
				break
			}
		}
	}
	slices.Sort(users)
	return users
}

// pick makes random things out of few names, so that they meet.
type pick struct{ *rand.Rand }

func (p pick) name() types.NamespacedName {
	return types.NamespacedName{
		Namespace: []string{"istio-system", "one", "two"}[p.IntN(3)],
		Name:      string(rune('a' + p.IntN(6))),
	}
}

// selector has no, some, or more labels than the index looks up subset by subset.
func (p pick) selector() map[string]string {
	size := p.IntN(4)
	if p.IntN(8) == 0 {
		size = 8 + p.IntN(3)
	}
	var selector map[string]string
	for i := range size {
		if selector == nil {
			selector = map[string]string{}
		}
		selector[string(rune('k'+i))] = strconv.Itoa(p.IntN(2))
	}
	return selector
}

func (p pick) view(name types.NamespacedName) apirule.View {
	view := apirule.View{Namespace: name.Namespace, Name: name.Name}
	for i := range p.IntN(4) {
		rule := apirule.Rule{Index: i, Service: p.name()}
		if p.IntN(10) == 0 {
			rule.Service = types.NamespacedName{}
		}
		rule.Strategy = []apirule.Strategy{apirule.NoAuth, apirule.JWT, apirule.ExtAuth, apirule.ExtAuth, apirule.ExtAuth, apirule.Open, apirule.Malformed}[p.IntN(7)]
		if rule.Strategy == apirule.ExtAuth {
			for range p.IntN(3) {
				rule.Authorizers = append(rule.Authorizers, string(rune('x'+p.IntN(3))))
			}
		}
		view.Rules = append(view.Rules, rule)
	}
	return view
}

// change does the same to both worlds.
func (p pick) change(world *facts.World, scan scanned) {
	name := p.name()
	switch p.IntN(6) {
	case 0:
		service := policy.Service{Selector: policy.SelectorOf(p.selector())}
		world.SetService(name, service)
		scan.services[name] = service
	case 1:
		world.DeleteService(name)
		delete(scan.services, name)
	case 2, 3:
		view := p.view(name)
		world.SetAPIRule(view)
		scan.apirules[name] = view
	case 4:
		world.DeleteAPIRule(name)
		delete(scan.apirules, name)
	case 5:
		custom := facts.AuthorizationPolicy{Selector: policy.SelectorOf(p.selector()), Provider: string(rune('x' + p.IntN(3)))}
		if p.IntN(3) == 0 {
			world.DeleteAuthorizationPolicy(name)
			delete(scan.policies, name)
			return
		}
		world.SetAuthorizationPolicy(name, &custom)
		scan.policies[name] = custom
	}
}

// TestIndexesAnswerLikeAScan changes random worlds and asks both after each change.
func TestIndexesAnswerLikeAScan(t *testing.T) {
	worlds, changes := 100, 120
	if testing.Short() {
		worlds = 10
	}
	compared, met := 0, 0
	for seed := range worlds {
		p := pick{rand.New(rand.NewPCG(uint64(seed), 1))} //nolint:gosec // the same worlds each time
		world := facts.NewWorld("a test")
		scan := scanned{
			services: map[types.NamespacedName]policy.Service{}, apirules: map[types.NamespacedName]apirule.View{},
			policies: map[types.NamespacedName]facts.AuthorizationPolicy{},
		}
		for step := range changes {
			p.change(world, scan)
			view := p.view(p.name())
			facts := world.Facts(t.Context(), view)
			for _, rule := range view.Rules {
				if rule.Service.Name == "" {
					continue
				}
				want, got := scan.neighbours(view.NamespacedName(), rule.Service), facts.Neighbours[rule.Service]
				require.Empty(t, cmp.Diff(want, got), "world %d, step %d, %s asks about %s (-scan +index)", seed, step, view.NamespacedName(), rule.Service)
				compared++
				met += min(len(got), 1)
			}
			for _, authorizer := range []string{"x", "y", "z"} {
				require.Equal(t, scan.users(authorizer), world.Users(authorizer), "world %d, step %d", seed, step)
			}
		}
	}
	t.Logf("compared %d answers, %d of them not empty", compared, met)
	require.Positive(t, met)
}

// TestAnEmptyWorldIsSmall proves that what is removed leaves nothing behind.
func TestAnEmptyWorldIsSmall(t *testing.T) {
	p := pick{rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same worlds each time
	world := facts.NewWorld("a test")
	for range 500 {
		name := p.name()
		world.SetService(name, policy.Service{Selector: policy.SelectorOf(p.selector())})
		world.SetAPIRule(p.view(name))
		world.SetAuthorizationPolicy(name, &facts.AuthorizationPolicy{Selector: policy.SelectorOf(p.selector()), Provider: "x"})
		world.SetNamespace(name.Namespace, policy.Namespace{})
		world.SetEndpoints(name, "slice", true)
		world.SetPolicy(policy.ClusterPolicy{Name: name.Name})
		world.SetGateway(name, "example.com")
		world.SetVirtualService(name, istio.VirtualService{Hosts: []string{"web"}})
		world.SetIstio(istio.View{Namespace: name.Namespace, Name: name.Name})
	}
	for kind, size := range world.Sizes() {
		require.Positive(t, size, kind)
	}
	for _, namespace := range []string{"istio-system", "one", "two"} {
		world.DeleteNamespace(namespace)
		for letter := range strings.SplitSeq("a b c d e f", " ") {
			name := types.NamespacedName{Namespace: namespace, Name: letter}
			world.DeleteService(name)
			world.DeleteAPIRule(name)
			world.DeleteAuthorizationPolicy(name)
			world.DeleteEndpoints(name, "slice")
			world.DeletePolicy(name.Name)
			world.DeleteGateway(name)
			world.DeleteVirtualService(name)
			world.DeleteIstio(name)
		}
	}
	for kind, size := range world.Sizes() {
		require.Zero(t, size, kind)
	}
	require.Empty(t, world.Users("x"))
}
