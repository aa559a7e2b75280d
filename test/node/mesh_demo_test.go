// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh && demo

package node

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDemo is make demo-mesh: what TestMesh proves, told for a person at a terminal.
func TestDemo(t *testing.T) {
	tell := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	c := newCluster(t, kymaOnMesh, true)
	tell("\n1. istiod and an ingress gateway, by Istio's own charts; mutual TLS is strict.")
	c.istio(t)
	tell("2. helm install extauth-guard: the bootstrap job installs oauth2-proxy, registers it, and asks it.")
	c.installOnMesh(t)
	tell("3. An application with a sidecar, and an APIRule that says only extauth-guard.io/inject: \"true\".")
	c.demo(t)
	rule, err := c.untyped.Resource(apirules).Namespace(namespace).Get(t.Context(), "demo", metav1.GetOptions{})
	require.NoError(t, err)
	tell("   stored with %v", rule.Object["spec"].(map[string]any)["rules"])
	token := c.token(t)
	eventually(t, "the mesh to know", func(ctx context.Context) error { return c.status(ctx, request{token: token}, http.StatusOK) })
	tell("4. Requests at the gateway:")
	for _, each := range []struct {
		what, command string
		request
	}{
		{"no token", "curl https://demo.example.com/", request{}},
		{"garbage", `curl -H "Authorization: Bearer garbage" https://demo.example.com/`, request{token: "garbage"}},
		{"a client-credentials token", `curl -H "Authorization: Bearer $(kubectl extauth token …)" https://demo.example.com/`, request{token: token}},
		{"the proxy's own path", "curl https://demo.example.com/ping", request{path: "/ping"}},
		{"Host with a port", `curl -H "Host: demo.example.com:443" https://demo.example.com/`, request{host: "demo.example.com:443"}},
		{"an APIRule with noAuth", "curl https://open.example.com/", request{host: "open.example.com"}},
	} {
		got, err := c.send(t.Context(), each.request)
		require.NoError(t, err)
		first, _, _ := strings.Cut(got.body, "\n")
		tell("   $ %s\n   %d %s   (%s)", each.command, got.status, first, each.what)
	}
	out, err := c.try(t.Context(), t, "--issuer", c.issuer.Issuer(), "--ca-file", file(t, c.issuer.CA()), "--secret", "client")
	require.NoError(t, err, out)
	tell("5. The same in one command:\n   $ kubectl extauth try demo.example.com --issuer %s --secret client -n extauth-guard\n   %s", c.issuer.Issuer(),
		strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n   "))
}
