// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func named(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// using returns an APIRule whose only rule uses the Service.
func using(name, service types.NamespacedName, authorizers ...string) apirule.View {
	rule := apirule.Rule{Path: "/*", Service: service, Strategy: apirule.NoAuth}
	if len(authorizers) > 0 {
		rule.Strategy, rule.Authorizers = apirule.ExtAuth, authorizers
	}
	return apirule.View{Namespace: name.Namespace, Name: name.Name, Gateway: "kyma-system/kyma-gateway", Rules: []apirule.Rule{rule}}
}

// shopWorld has APIRules shop/a and shop/b on Services whose selectors overlap,
// other/c on shop's Service a, and other/d on a Service of its own.
func shopWorld() *facts.World {
	world := facts.NewWorld("a test")
	world.SetIstio(istio.View{Namespace: istio.Namespace, Name: "default", Authorizers: []istio.Authorizer{
		{Name: "oauth2-proxy", Service: "proxy.auth.svc.cluster.local", Port: 80},
	}})
	world.SetService(named("shop", "a"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "x"})})
	world.SetService(named("shop", "b"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "x", "tier": "y"})})
	world.SetService(named("other", "d"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "d"})})
	world.SetNamespace("shop", policy.Namespace{})
	world.SetAPIRule(using(named("shop", "a"), named("shop", "a"), "oauth2-proxy"))
	world.SetAPIRule(using(named("shop", "b"), named("shop", "b")))
	world.SetAPIRule(using(named("other", "c"), named("shop", "a")))
	world.SetAPIRule(using(named("other", "d"), named("other", "d")))
	return world
}

func TestAChangeNamesTheAPIRulesThatDependOnIt(t *testing.T) {
	cases := map[string]struct {
		change func(*facts.World)
		want   []string // nil: nobody is told anything
	}{
		"a Service reaches those that use it or share its Pods": {func(w *facts.World) {
			w.SetService(named("shop", "b"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "x", "tier": "y"}), Annotations: map[string]string{annotation.Inject: "true"}})
		}, []string{"Service other/c shop/a shop/b"}},
		"a Service that leaves a workload reaches those it leaves": {func(w *facts.World) {
			w.SetService(named("shop", "b"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "z"})})
		}, []string{"Service other/c shop/a shop/b"}},
		"a Service that nobody uses reaches nobody": {func(w *facts.World) {
			w.SetService(named("shop", "unused"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "unused"})})
		}, []string{"Service"}},
		"a Service as it was is no change": {func(w *facts.World) {
			w.SetService(named("shop", "a"), policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "x"})})
		}, nil},
		"an APIRule that goes on using what it used reaches itself": {func(w *facts.World) {
			view := using(named("shop", "a"), named("shop", "a"), "oauth2-proxy")
			view.Rules[0].Path = "/other"
			w.SetAPIRule(view)
		}, []string{"APIRule shop/a"}},
		"an APIRule that takes another authorizer reaches its neighbours": {func(w *facts.World) {
			w.SetAPIRule(using(named("shop", "a"), named("shop", "a"), "corp"))
		}, []string{"APIRule other/c shop/a shop/b"}},
		"an APIRule that goes reaches its neighbours": {func(w *facts.World) {
			w.DeleteAPIRule(named("shop", "a"))
		}, []string{"APIRule other/c shop/a shop/b"}},
		"an APIRule as it was is no change": {func(w *facts.World) {
			w.SetAPIRule(using(named("shop", "a"), named("shop", "a"), "oauth2-proxy"))
		}, nil},
		"a Namespace reaches its APIRules and those that use its Services": {func(w *facts.World) {
			w.SetNamespace("shop", policy.Namespace{Labels: map[string]string{"a": "b"}})
		}, []string{"Namespace other/c shop/a shop/b"}},
		"a Gateway reaches those that are on it": {func(w *facts.World) {
			w.SetGateway(named("kyma-system", "kyma-gateway"), "example.com")
		}, []string{"Gateway other/c other/d shop/a shop/b"}},
		"another Gateway reaches nobody":             {func(w *facts.World) { w.SetGateway(named("x", "y"), "example.com") }, []string{"Gateway"}},
		"a policy reaches all":                       {func(w *facts.World) { w.SetPolicy(policy.ClusterPolicy{Name: "p"}) }, []string{"ExtAuthPolicy all"}},
		"the endpoints of an authorizer reach users": {func(w *facts.World) { w.SetEndpoints(named("auth", "proxy"), "s", true) }, []string{"EndpointSlice shop/a"}},
		"other endpoints reach nobody":               {func(w *facts.World) { w.SetEndpoints(named("shop", "a"), "s", true) }, []string{"EndpointSlice"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			world := shopWorld()
			var got []string
			world.Subscribe(func(change facts.Change) {
				text := string(change.Kind)
				var textSb101 strings.Builder
				for _, one := range change.Affected {
					textSb101.WriteString(" " + one.String())
				}
				text += textSb101.String()
				if change.All {
					text += " all"
				}
				got = append(got, text)
			})
			tc.change(world)
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}
}

func TestAChangeThatReachesTooManyReachesAll(t *testing.T) {
	world := shopWorld()
	for i := range 1200 {
		world.SetAPIRule(using(named("crowd", fmt.Sprintf("a%d", i)), named("shop", "a")))
	}
	var got facts.Change
	world.Subscribe(func(change facts.Change) { got = change })
	world.SetService(named("shop", "a"), policy.Service{})
	assert.True(t, got.All)
	assert.Empty(t, got.Affected)
}

func TestFactsHaveThePoliciesInOrderAndTheDomainOfTheGateway(t *testing.T) {
	world := shopWorld()
	world.SetPolicy(policy.ClusterPolicy{Name: "z", Generation: 1})
	world.SetPolicy(policy.ClusterPolicy{Name: "a", Generation: 1})
	world.SetPolicy(policy.ClusterPolicy{Name: "gone", Generation: 1})
	world.DeletePolicy("gone")
	world.SetGateway(named("kyma-system", "kyma-gateway"), "example.com")
	facts := world.Facts(t.Context(), using(named("shop", "a"), named("shop", "a")))
	var names []string
	for _, one := range facts.Policies {
		names = append(names, one.Name)
	}
	assert.Equal(t, []string{"a", "z"}, names)
	assert.Equal(t, map[string]string{"kyma-system/kyma-gateway": "example.com"}, facts.GatewayDomains)
}

func TestOptOutFactsHaveWhatDependsOnTheObject(t *testing.T) {
	world := shopWorld()
	assert.Empty(t, world.OptOutFacts(annotation.Service, named("shop", "a"), nil).APIRules, "nobody forbids it, so nothing is looked up")
	forbids := &v1alpha1.ExtAuthPolicy{Spec: v1alpha1.ExtAuthPolicySpec{OptOut: v1alpha1.Forbidden}}
	world.SetPolicy(policy.CompilePolicy(forbids))
	list := func(kind annotation.Kind, name types.NamespacedName) []string {
		var names []string
		for _, view := range world.OptOutFacts(kind, name, nil).APIRules {
			names = append(names, view.NamespacedName().String())
		}
		return names
	}
	assert.Equal(t, []string{"other/c", "shop/a"}, list(annotation.Service, named("shop", "a")))
	assert.Equal(t, []string{"other/c", "shop/a", "shop/b"}, list(annotation.Namespace, named("", "shop")))
}
