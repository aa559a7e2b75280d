// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// forbidding is an ExtAuthPolicy that forbids callers inside the mesh.
func forbidding(change func(*v1alpha1.ExtAuthPolicySpec)) policy.ClusterPolicy {
	object := &v1alpha1.ExtAuthPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "closed"},
		Spec:       v1alpha1.ExtAuthPolicySpec{Mode: v1alpha1.Audit, InternalCallers: v1alpha1.InternalCallersForbidden},
	}
	if change != nil {
		change(&object.Spec)
	}
	return policy.CompilePolicy(object)
}

func cart() types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: "cart"} }

func exposing(service types.NamespacedName) apirule.View {
	return apirule.View{
		Namespace: "web", Name: "front", Hosts: []string{"shop.example.com"}, Gateway: "kyma-system/kyma-gateway",
		Rules: []apirule.Rule{{Path: "/*", Strategy: apirule.NoAuth, Service: service}},
	}
}

func TestDecideCallers(t *testing.T) {
	asks := func(value string) map[string]string { return map[string]string{annotation.InternalCallers: value} }
	with := func(annotations map[string]string) policy.Service {
		return policy.Service{Annotations: annotations, Selector: policy.Selector{"app=cart"}}
	}
	deleting := exposing(cart())
	deleting.Deleting = true
	cases := map[string]struct {
		service   policy.Service
		namespace map[string]string
		apirules  []apirule.View
		policies  []policy.ClusterPolicy
		excluded  string
		allowed   string // "" if nobody
		from      string
		refused   string
	}{
		"nobody asks":                        {service: with(nil), apirules: []apirule.View{exposing(cart())}},
		"the Service asks":                   {service: with(asks("batch/job")), apirules: []apirule.View{exposing(cart())}, allowed: "batch/job", from: "Service shop/cart"},
		"the Namespace asks":                 {service: with(nil), namespace: asks("*"), apirules: []apirule.View{exposing(cart())}, allowed: "*", from: "Namespace shop"},
		"the Service is nearer":              {service: with(asks("batch")), namespace: asks("*"), apirules: []apirule.View{exposing(cart())}, allowed: "batch", from: "Service shop/cart"},
		"what cannot be read lets nobody in": {service: with(asks("shop/*")), namespace: asks("*"), apirules: []apirule.View{exposing(cart())}, from: "Service shop/cart", refused: "wildcard"},
		"another fault of the same object":   {service: with(map[string]string{annotation.InternalCallers: "*", annotation.Inject: "yes"}), apirules: []apirule.View{exposing(cart())}, from: "Service shop/cart", refused: `must be "true" or "false"`},
		"no APIRule":                         {service: with(asks("*")), from: "Service shop/cart", refused: "no APIRule exposes the Service"},
		"an APIRule for another Service":     {service: with(asks("*")), apirules: []apirule.View{exposing(types.NamespacedName{Namespace: "shop", Name: "other"})}, from: "Service shop/cart", refused: "no APIRule exposes"},
		"the last APIRule is going":          {service: with(asks("*")), apirules: []apirule.View{deleting}, from: "Service shop/cart", refused: "no APIRule exposes"},
		"no selector":                        {service: policy.Service{Annotations: asks("*")}, apirules: []apirule.View{exposing(cart())}, from: "Service shop/cart", refused: "every Pod of the namespace would be meant"},
		"a namespace that is left alone":     {service: with(asks("*")), apirules: []apirule.View{exposing(cart())}, excluded: "shop", from: "Service shop/cart", refused: "leaves the namespace shop alone"},
		"a policy forbids it":                {service: with(asks("*")), apirules: []apirule.View{exposing(cart())}, policies: []policy.ClusterPolicy{forbidding(nil)}, from: "Service shop/cart", refused: "ExtAuthPolicy closed forbids callers inside the mesh"},
		"a policy about another host": {
			service: with(asks("*")), apirules: []apirule.View{exposing(cart())}, allowed: "*", from: "Service shop/cart",
			policies: []policy.ClusterPolicy{forbidding(func(spec *v1alpha1.ExtAuthPolicySpec) { spec.Match.Hosts = []v1alpha1.HostPattern{"other.example.com"} })},
		},
		"a policy about the host": {
			service: with(asks("*")), apirules: []apirule.View{exposing(cart())}, from: "Service shop/cart", refused: "forbids callers",
			policies: []policy.ClusterPolicy{forbidding(func(spec *v1alpha1.ExtAuthPolicySpec) { spec.Match.Hosts = []v1alpha1.HostPattern{"*.example.com"} })},
		},
		"a policy that says nothing about it": {
			service: with(asks("*")), apirules: []apirule.View{exposing(cart())}, allowed: "*", from: "Service shop/cart",
			policies: []policy.ClusterPolicy{forbidding(func(spec *v1alpha1.ExtAuthPolicySpec) { spec.InternalCallers = "Allowed" })},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			settings := policy.DefaultSettings()
			settings.ExcludedNamespaces = map[string]bool{tc.excluded: true}
			facts := policy.OptOutFacts{APIRules: tc.apirules, Policies: tc.policies, Namespaces: map[string]policy.Namespace{"shop": {Annotations: tc.namespace}}}
			got := policy.DecideCallers(cart(), tc.service, facts, settings)
			if tc.allowed == "" {
				assert.Nil(t, got.Allowed)
			} else {
				require.NotNil(t, got.Allowed)
				assert.Equal(t, tc.allowed, got.Allowed.String())
			}
			assert.Equal(t, tc.from, got.From)
			assert.Contains(t, got.Refused, tc.refused)
			assert.Equal(t, tc.refused == "", got.Refused == "")
			assert.Equal(t, tc.refused == "", got.Cause == "")
		})
	}
}

func TestCheckCallers(t *testing.T) {
	asked := map[string]string{annotation.InternalCallers: "*"}
	onHost := forbidding(func(spec *v1alpha1.ExtAuthPolicySpec) { spec.Match.Hosts = []v1alpha1.HostPattern{"shop.example.com"} })
	facts := policy.OptOutFacts{APIRules: []apirule.View{exposing(cart())}, Policies: []policy.ClusterPolicy{onHost}}
	found := policy.CheckCallers(annotation.Service, cart(), asked, facts)
	require.Len(t, found, 1)
	assert.Equal(t, policy.Deny, found[0].Severity)
	assert.EqualError(t, found[0].Err, `metadata.annotations[extauth-guard.io/internal-callers]: Invalid value: "*": ExtAuthPolicy closed forbids callers inside the mesh; remove the annotation, or ask the owner of the policy to allow it [InternalCallersForbidden]`)
	assert.Len(t, policy.CheckCallers(annotation.Namespace, types.NamespacedName{Name: "shop"}, asked, facts), 1, "the namespace of the Service")
	assert.Empty(t, policy.CheckCallers(annotation.Namespace, types.NamespacedName{Name: "web"}, asked, facts), "that of the APIRule has no say")
	assert.Empty(t, policy.CheckCallers(annotation.Service, types.NamespacedName{Namespace: "shop", Name: "other"}, asked, facts))
	assert.Empty(t, policy.CheckCallers(annotation.Service, cart(), nil, facts), "who asks for nothing is refused nothing")

	facts = policy.OptOutFacts{Policies: []policy.ClusterPolicy{forbidding(nil)}}
	assert.Len(t, policy.CheckCallers(annotation.Service, cart(), asked, facts), 1, "a policy about everything, before there is an APIRule")
}

func TestInternalTrafficIsNotBlockedForCallersThatAreLetIn(t *testing.T) {
	view := exposing(cart())
	view.Rules[0].Strategy, view.Rules[0].Authorizers = apirule.ExtAuth, []string{"oauth2-proxy"}
	check := func(change func(*policy.Facts, *policy.Settings)) bool {
		facts := policy.Facts{
			Registry:   policy.StaticRegistry("a test", []string{"oauth2-proxy"}),
			Services:   map[types.NamespacedName]policy.Service{cart(): {Selector: policy.Selector{"app=cart"}, Annotations: map[string]string{annotation.InternalCallers: "batch"}}},
			Namespaces: map[string]policy.Namespace{"shop": {Labels: map[string]string{"istio-injection": "enabled"}}, "web": {}},
		}
		settings := policy.DefaultSettings()
		settings.InternalCallers = true
		change(&facts, &settings)
		return slices.Contains(policy.Codes(policy.Check(view, facts, settings)), string(policy.InternalTrafficBlocked))
	}
	assert.False(t, check(func(*policy.Facts, *policy.Settings) {}), "the policy will be made at once")
	assert.True(t, check(func(_ *policy.Facts, settings *policy.Settings) { settings.InternalCallers = false }), "nobody makes it")
	assert.False(t, check(func(facts *policy.Facts, settings *policy.Settings) {
		settings.InternalCallers, facts.CallersAllowed = false, map[types.NamespacedName]bool{cart(): true}
	}), "it is there")
	assert.True(t, check(func(facts *policy.Facts, _ *policy.Settings) {
		facts.Policies = []policy.ClusterPolicy{forbidding(nil)}
	}), "it is forbidden")
	assert.True(t, check(func(facts *policy.Facts, _ *policy.Settings) {
		facts.Services[cart()] = policy.Service{Selector: policy.Selector{"app=cart"}}
	}), "nobody asks")
}
