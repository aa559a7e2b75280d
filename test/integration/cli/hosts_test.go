// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// testHosts has manifests take hosts that a VirtualService and an APIRule of the
// cluster have.
func testHosts(t *testing.T, s stage) {
	t.Helper()
	cart := parse(t, fixtures()["a rule in lines"])[0]
	hosts, _, err := unstructured.NestedStringSlice(cart.Object, "spec", "hosts")
	require.NoError(t, err)
	for host, by := range map[string]string{"raw.example.com": "VirtualService shop/raw", hosts[0]: "APIRule shop/cart", "free.example.com": ""} {
		text := "{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: another, namespace: shop}, spec: {hosts: [" + host +
			"], gateway: kyma-system/kyma-gateway, service: {name: cart, port: 8080}, rules: [{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}]}}"
		code, stdout, stderr := s.run(t, text, "lint", "-", "--live")
		assert.Equal(t, 0, code, stdout+stderr)
		assert.Equal(t, by != "", strings.Contains(stdout, "HostTaken"), stdout)
		assert.Contains(t, stdout, by)
		_, stdout, _ = s.run(t, text, "lint", "-", "--authorizers", "oauth2-proxy")
		assert.NotContains(t, stdout, "HostTaken", "without --live nobody knows")
	}
}
