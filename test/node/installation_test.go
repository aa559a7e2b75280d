// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node || mesh

package node

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/e2e"
)

const namespace = "shop"

// apirule returns an APIRule with one rule.
func apirule(name string, annotations map[string]any, extAuth ...any) *unstructured.Unstructured {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if len(extAuth) > 0 {
		rule["extAuth"] = map[string]any{"authorizers": extAuth}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"name": name, "namespace": namespace, "annotations": annotations},
		"spec": map[string]any{
			"hosts": []any{name + ".example.com"}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": name, "port": int64(80)}, "rules": []any{rule},
		},
	}}
}

// steps returns a function that runs one step; each needs the one before it.
func steps(t *testing.T) func(name string, do func(t *testing.T)) {
	t.Helper()
	return func(name string, do func(t *testing.T)) {
		t.Helper()
		require.True(t, t.Run(name, do), "the steps after it need it")
	}
}

// withBootstrap adds the job that installs the real oauth2-proxy by a chart of the real one's shape.
func (c *cluster) withBootstrap(t *testing.T, base map[string]any) map[string]any {
	t.Helper()
	return merged(base, "bootstrap", map[string]any{
		"enabled": true,
		"config": map[string]any{
			"issuer":      map[string]any{"url": c.issuer.Issuer(), "caBundle": string(c.issuer.CA())},
			"credentials": map[string]any{"name": "client"},
			"domain":      "example.com",
			"selfCheck":   map[string]any{"namespace": namespace},
			"proxy": map[string]any{
				"chart":       map[string]any{"repository": "/charts/oauth2-proxy"},
				"extraValues": map[string]any{"image": map[string]any{"repository": "localhost/oauth2-proxy", "pullPolicy": "Never"}},
			},
		},
	})
}

func merged(base map[string]any, key string, value any) map[string]any {
	all := map[string]any{key: value}
	for other, each := range base {
		if other != key {
			all[other] = each
		}
	}
	return all
}

// registered insists that the job says it is done, that our authorizer is in the
// Istio CR, and that the one of somebody else still is.
func (c *cluster) registered(t *testing.T) {
	t.Helper()
	results, err := c.typed.CoreV1().ConfigMaps(chart.Namespace).Get(t.Context(), "extauth-guard-bootstrap", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "Done", results.Data["outcome"], results.Data["result.json"])
	assert.Equal(t, []any{"corporate", "oauth2-proxy"}, c.authorizers(t))
	accounts, err := c.typed.CoreV1().ServiceAccounts(chart.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=bootstrap"})
	require.NoError(t, err)
	assert.Empty(t, accounts.Items, "the job's account lives as long as the job")
}

// authorizers are the names in the Istio CR, in their order.
func (c *cluster) authorizers(t *testing.T) []any {
	t.Helper()
	cr, err := c.untyped.Resource(istios).Namespace("kyma-system").Get(t.Context(), "default", metav1.GetOptions{})
	require.NoError(t, err)
	list, _, err := unstructured.NestedSlice(cr.Object, "spec", "config", "authorizers")
	require.NoError(t, err)
	var names []any
	for _, entry := range list {
		names = append(names, entry.(map[string]any)["name"])
	}
	return names
}

// outside tells the end-to-end suite of the issuer and of its application.
func (c *cluster) outside(t *testing.T) {
	t.Helper()
	t.Setenv(e2e.DomainEnv, "example.com")
	t.Setenv(e2e.IssuerEnv, c.issuer.Issuer())
	t.Setenv(e2e.IssuerCAEnv, string(c.issuer.CA()))
	t.Setenv(e2e.ClientEnv, "shop")
	t.Setenv(e2e.SecretEnv, "hush")
	t.Setenv(e2e.ImageEnv, "localhost/app:test")
}
