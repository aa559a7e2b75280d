// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// On files, without a cluster.
func TestExplainFollowsARequest(t *testing.T) {
	const manifests = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  gateway: kyma-system/kyma-gateway
  service: {name: cart, port: 80}
  rules:
  - {path: /*, methods: [GET, POST], extAuth: {authorizers: [oauth2-proxy]}}
`
	explain := func(args ...string) (int, string, string) {
		return run(t, manifests, append([]string{"explain", "shop/cart", "-f", "-"}, args...)...)
	}
	code, stdout, stderr := explain("--request", "GET https://cart.example.com/status?x=1")
	assert.Equal(t, 1, code, stderr)
	assert.Contains(t, stdout, `request GET https://cart.example.com/status?x=1, from internet: Undecided`)
	assert.Contains(t, stdout, "  gateway: the route of rule 0 (/*) takes it to the Service shop/cart\n")
	assert.Contains(t, stdout, "  kyma       not known: only files were read\n")

	code, stdout, _ = explain("--request", "DELETE https://cart.example.com/", "-o", "json")
	assert.Equal(t, 1, code)
	var explained struct {
		Request struct {
			Fate policy.Fate
			Rule int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &explained))
	assert.Equal(t, policy.NotRouted, explained.Request.Fate)
	assert.Equal(t, -1, explained.Request.Rule)

	_, stdout, _ = explain("--request", "GET https://cart.example.com/", "--header", "Host=cart.example.com:443")
	assert.Contains(t, stdout, "Denied, the policies name the host without a port")
	_, stdout, _ = explain("--request", "GET http://cart.shop/", "--from", "shop/web")
	assert.Contains(t, stdout, "Denied, only the ingress gateway may call")

	for _, args := range [][]string{
		{"--request", "GET"},
		{"--request", "https://cart.example.com/"},
		{"--request", "GET /path"},
		{"--from", "shop/web"},
		{"--header", "a=b"},
		{"--request", "GET https://a/", "--header", "a"},
		{"--request", "GET https://a/", "--from", "shop"},
	} {
		code, _, stderr := explain(args...)
		assert.Equal(t, 2, code, "%v: %s", args, stderr)
	}
	code, _, stderr = run(t, manifests, "explain", "shop/absent", "-f", "-")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "there is no APIRule shop/absent in the files")
}
