// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestTheManagersFollowWhatIsWritten(t *testing.T) {
	kinds := map[schema.GroupVersionResource]string{}
	for plural, kind := range map[string]string{"services": "Service", "pods": "Pod", "configmaps": "ConfigMap"} {
		kinds[schema.GroupVersionResource{Version: "v1", Resource: plural}] = kind + "List"
	}
	policies := schema.GroupVersionResource{Group: "security.istio.io", Version: "v1beta1", Resource: "authorizationpolicies"}
	rules := schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
	routes := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}
	kinds[policies], kinds[rules], kinds[routes] = "AuthorizationPolicyList", "APIRuleList", "VirtualServiceList"
	kinds[schema.GroupVersionResource{Group: "security.istio.io", Version: "v1beta1", Resource: "requestauthentications"}] = "RequestAuthenticationList"
	kinds[schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "gateways"}] = "GatewayList"
	kinds[schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}] = "IstioList"
	rule := func(strategy string) *unstructured.Unstructured {
		return kyma.Object(t, `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {namespace: shop, name: cart}, spec: {hosts: [cart], gateway: kyma-system/kyma-gateway,
			service: {name: cart, port: 80}, rules: [{path: "/*", methods: [GET], `+strategy+`}]}}`)
	}
	untyped := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds,
		kyma.Object(t, `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: cart}, spec: {selector: {app: cart}}}`),
		kyma.Object(t, `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {namespace: kyma-system, name: default}, spec: {config: {authorizers: [{name: corp, service: a.b.svc.cluster.local, port: 80}]}}}`),
		rule(`extAuth: {authorizers: [corp]}`))
	typed := fake.NewClientset()
	managers := kyma.Managers{Typed: typed, Untyped: untyped}
	ctx := t.Context()
	gateways := untyped.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "gateways"}).Namespace("kyma-system")
	_, err := gateways.Create(ctx, kyma.Object(t, `{apiVersion: networking.istio.io/v1beta1, kind: Gateway, metadata: {namespace: kyma-system, name: kyma-gateway}, spec: {servers: [{hosts: ["*.example.com"]}]}}`), metav1.CreateOptions{}) // whose plural the fake client does not guess
	require.NoError(t, err)
	state := func() string {
		object, err := untyped.Resource(rules).Namespace("shop").Get(ctx, "cart", metav1.GetOptions{})
		require.NoError(t, err)
		state, _, _ := unstructured.NestedString(object.Object, "status", "state")
		return state
	}
	providers := func() []string {
		list, err := untyped.Resource(policies).List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		found := []string{}
		for _, policy := range list.Items {
			provider, _, _ := unstructured.NestedString(policy.Object, "spec", "provider", "name")
			found = append(found, provider)
		}
		return found
	}

	require.NoError(t, managers.Istio(ctx))
	config, err := typed.CoreV1().ConfigMaps("istio-system").Get(ctx, "istio", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Contains(t, config.Data["mesh"], "name: corp")
	require.NoError(t, managers.APIGateway(ctx))
	assert.Equal(t, "Error", state(), "the fake clients are two clusters: this one has no mesh configuration yet")
	assert.Empty(t, providers())

	mesh := kyma.Object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: istio-system, name: istio}}`)
	require.NoError(t, unstructured.SetNestedField(mesh.Object, config.Data["mesh"], "data", "mesh"))
	_, err = untyped.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("istio-system").Create(ctx, mesh, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, managers.APIGateway(ctx))
	assert.Equal(t, "Ready", state())
	assert.ElementsMatch(t, []string{"corp", ""}, providers())

	_, err = untyped.Resource(rules).Namespace("shop").Update(ctx, rule(`extAuth: {authorizers: [gone]}`), metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, managers.APIGateway(ctx))
	assert.Equal(t, "Error", state())
	assert.ElementsMatch(t, []string{"corp", ""}, providers(), "a refused update leaves what was made before")

	_, err = untyped.Resource(rules).Namespace("shop").Update(ctx, rule(`noAuth: true`), metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, managers.APIGateway(ctx))
	assert.Equal(t, []string{""}, providers(), "noAuth has an ALLOW policy")

	require.NoError(t, untyped.Resource(rules).Namespace("shop").Delete(ctx, "cart", metav1.DeleteOptions{}))
	require.NoError(t, managers.APIGateway(ctx))
	assert.Empty(t, providers())
}
