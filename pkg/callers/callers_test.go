// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package callers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/callers"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func wanted(t *testing.T, value string, gateways ...annotation.Caller) callers.Wanted {
	t.Helper()
	asked, errs := annotation.ParseCallers(nil, value)
	require.Empty(t, errs)
	return callers.Wanted{
		Service: types.NamespacedName{Namespace: "shop", Name: "cart"}, UID: "1",
		Selector: policy.SelectorOf(map[string]string{"app": "cart", "tier": "back"}), Callers: *asked, Gateways: gateways,
	}
}

func TestObject(t *testing.T) {
	kyma := annotation.Caller{Namespace: "istio-system", ServiceAccount: "istio-ingressgateway-service-account"}
	own := annotation.Caller{Namespace: "edge", ServiceAccount: "gw"}
	assert.Empty(t, cmp.Diff(map[string]any{
		"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
		"metadata": map[string]any{
			"namespace": "shop", "name": "internal-callers-cart", "labels": map[string]any{"app.kubernetes.io/managed-by": "extauth-guard"},
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "Service", "name": "cart", "uid": "1", "controller": true}},
		},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "cart", "tier": "back"}}, "action": "ALLOW",
			"rules": []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{
				"principals":    []any{"cluster.local/ns/batch/sa/*", "cluster.local/ns/web/sa/front"},
				"notNamespaces": []any{"istio-system"},
				"notPrincipals": []any{"*/ns/edge/sa/gw"},
			}}}}},
		},
	}, wanted(t, "batch, web/front", own, kyma).Object()), "(-want +got)")
	assert.Equal(t, []string{"*"}, wanted(t, "*").Principals())
	assert.NotContains(t, wanted(t, "*", kyma).Spec()["rules"].([]any)[0].(map[string]any)["from"].([]any)[0].(map[string]any)["source"], "notPrincipals", "its namespace is left out already")
}

func TestGateway(t *testing.T) {
	own := annotation.Caller{Namespace: "edge", ServiceAccount: "gw"}
	gateway, named := wanted(t, "shop, edge/gw", own).Gateway()
	assert.True(t, named)
	assert.Equal(t, own, gateway)
	for _, value := range []string{"*", "edge", "edge/other", "shop/gw"} {
		_, named = wanted(t, value, own).Gateway()
		assert.False(t, named, value)
	}
}

func TestServiceOf(t *testing.T) {
	ours := map[string]string{callers.Label: callers.Manager}
	assert.Equal(t, "cart", callers.ServiceOf(ours, callers.NameFor("cart")))
	assert.Empty(t, callers.ServiceOf(ours, "cart"))
	assert.Empty(t, callers.ServiceOf(nil, callers.NameFor("cart")), "somebody else's, with the same name")
}
