// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// lagging is a source whose watches have seen nothing of a cluster that has a
// Namespace, a Service and an Istio CR.
func lagging(t *testing.T) (*Source, *fake.Clientset) {
	t.Helper()
	typed := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"istio-injection": "enabled"}, Annotations: map[string]string{
			"extauth-guard.io/inject": "true", "example.com/a": "b",
		}}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
		})
	istio := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio",
		"metadata": map[string]any{"namespace": "kyma-system", "name": "default"},
		"spec":     map[string]any{"config": map[string]any{"authorizers": []any{map[string]any{"name": "corp", "service": "corp.auth.svc.cluster.local", "port": int64(80)}}}},
	}}
	untyped := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{istioResource(): "IstioList"}, istio)
	world := facts.NewWorld("the Istio CR was not read yet")
	return &Source{world: world, live: live{typed: typed, untyped: untyped, world: world}}, typed
}

func viewOf(authorizers ...string) apirule.View {
	return apirule.View{Namespace: "shop", Name: "web", Rules: []apirule.Rule{{
		Strategy: apirule.ExtAuth, Authorizers: authorizers, Service: types.NamespacedName{Namespace: "shop", Name: "web"},
	}}}
}

func TestWhatTheWatchesLackIsRead(t *testing.T) {
	source, _ := lagging(t)
	facts := source.Facts(t.Context(), viewOf("corp"))
	assert.True(t, facts.Registry.Has("corp"))
	want := policy.Facts{
		Services: map[types.NamespacedName]policy.Service{
			{Namespace: "shop", Name: "web"}: {Selector: policy.SelectorOf(map[string]string{"app": "web"}), Ports: []int32{80}},
		},
		Namespaces: map[string]policy.Namespace{"shop": {
			Annotations: map[string]string{"extauth-guard.io/inject": "true"}, Labels: map[string]string{"istio-injection": "enabled"},
		}},
	}
	assert.Empty(t, cmp.Diff(want.Services, facts.Services))
	assert.Empty(t, cmp.Diff(want.Namespaces, facts.Namespaces))
}

func TestWhatTheWatchesKnowIsNotReadAgain(t *testing.T) {
	source, typed := lagging(t)
	source.world.SetNamespace("shop", policy.Namespace{})
	source.world.SetService(types.NamespacedName{Namespace: "shop", Name: "web"}, policy.Service{})
	source.world.SetRegistry(policy.StaticRegistry("a test", []string{"corp"}))
	facts := source.Facts(t.Context(), viewOf("corp"))
	assert.Empty(t, typed.Actions())
	assert.Empty(t, facts.Namespaces["shop"].Labels, "the watches' word counts")
}

func TestWhatIsNotThereEitherStaysUnknown(t *testing.T) {
	source, _ := lagging(t)
	view := viewOf("nobody")
	view.Namespace, view.Rules[0].Service = "elsewhere", types.NamespacedName{Namespace: "elsewhere", Name: "web"}
	facts := source.Facts(t.Context(), view)
	assert.Empty(t, facts.Services)
	assert.NotNil(t, facts.Services, "somebody looked")
	assert.Empty(t, facts.Namespaces)
	assert.True(t, facts.Registry.Known, "the Istio CR was read, and lacks the name")
	assert.False(t, facts.Registry.Has("nobody"))
}

func TestLiveReadsAreBounded(t *testing.T) {
	t.Run("in number", func(t *testing.T) {
		source, typed := lagging(t)
		view := viewOf()
		view.Rules = nil
		for i := range 20 {
			view.Rules = append(view.Rules, apirule.Rule{Service: types.NamespacedName{Namespace: string(rune('a' + i)), Name: "web"}})
		}
		source.Facts(t.Context(), view)
		assert.Len(t, typed.Actions(), 2*maxLiveReads)
	})

	t.Run("in time", func(t *testing.T) {
		stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }))
		defer stuck.Close()
		source, err := New(&rest.Config{Host: stuck.URL})
		require.NoError(t, err)
		start := time.Now()
		facts := source.Facts(t.Context(), viewOf("corp"))
		assert.GreaterOrEqual(t, time.Since(start), LiveReadLimit)
		assert.Less(t, time.Since(start), 20*LiveReadLimit)
		assert.Empty(t, facts.Services)
		assert.False(t, facts.Registry.Known)
	})
}

func TestAWorldIsUnknownUntilItWasRead(t *testing.T) {
	source, err := New(&rest.Config{Host: "http://127.0.0.1:1"})
	require.NoError(t, err)
	assert.EqualError(t, source.Synced(), "not read yet: [Istio ConfigMap Service EndpointSlice Deployment Namespace APIRule AuthorizationPolicy ExtAuthPolicy Gateway VirtualService]")
	assert.False(t, source.NeedLeaderElection())
	assert.False(t, source.World().Registry().Known)

	ctx, stop := context.WithCancel(t.Context())
	stop()
	assert.NoError(t, source.Start(ctx), "it ends with its context")
}

func TestSlicesAreReady(t *testing.T) {
	yes, no := true, false
	cases := map[string]struct {
		endpoints []discoveryv1.Endpoint
		want      bool
	}{
		"none":                       {nil, false},
		"one that says nothing":      {[]discoveryv1.Endpoint{{}}, true},
		"one that is not":            {[]discoveryv1.Endpoint{{Conditions: discoveryv1.EndpointConditions{Ready: &no}}}, false},
		"one that is, beside others": {[]discoveryv1.Endpoint{{Conditions: discoveryv1.EndpointConditions{Ready: &no}}, {Conditions: discoveryv1.EndpointConditions{Ready: &yes}}}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := sliceValue(&discoveryv1.EndpointSlice{
				ObjectMeta: metav1.ObjectMeta{Namespace: "auth", Labels: map[string]string{"kubernetes.io/service-name": "corp"}}, Endpoints: tc.endpoints,
			})
			assert.Equal(t, slice{service: types.NamespacedName{Namespace: "auth", Name: "corp"}, ready: tc.want}, got)
		})
	}
}

func TestAuthorizationPolicies(t *testing.T) {
	of := func(labels, spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}}
	}
	custom := map[string]any{"action": "CUSTOM", "provider": map[string]any{"name": "corp"}}
	cases := map[string]struct {
		object *unstructured.Unstructured
		want   *facts.AuthorizationPolicy
	}{
		"by hand": {of(nil, custom), &facts.AuthorizationPolicy{Provider: "corp"}},
		"with a selector": {of(nil, map[string]any{
			"action": "CUSTOM", "provider": map[string]any{"name": "corp"},
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
		}), &facts.AuthorizationPolicy{Provider: "corp", Selector: policy.SelectorOf(map[string]string{"app": "web"})}},
		"by Kyma before 3.5": {of(map[string]any{"apirule.gateway.kyma-project.io/v1beta1": "web.shop"}, custom), nil},
		"by Kyma": {
			of(map[string]any{"apirule.gateway.kyma-project.io/name": "web", "apirule.gateway.kyma-project.io/namespace": "shop"}, custom),
			&facts.AuthorizationPolicy{Owner: types.NamespacedName{Namespace: "shop", Name: "web"}, Provider: "corp"},
		},
		"that allows":        {of(nil, map[string]any{"action": "ALLOW"}), &facts.AuthorizationPolicy{Restricts: true}},
		"another action":     {of(nil, map[string]any{"action": "DENY"}), nil},
		"no provider":        {of(nil, map[string]any{"action": "CUSTOM"}), nil},
		"of the wrong types": {of(nil, map[string]any{"action": 1, "provider": "corp"}), nil},
		"without spec":       {&unstructured.Unstructured{Object: map[string]any{}}, &facts.AuthorizationPolicy{Restricts: true}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, authorizationOf(tc.object).known), "(-want +got)")
		})
	}
}
