// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// explained compares what explain --request says of requests with what the gateway
// answers them.
func (c *cluster) explained(t *testing.T) {
	counted := map[policy.Fate]int{}
	for _, name := range []string{"demo", "open"} {
		for _, host := range []string{name + ".example.com", name + ".example.com:443", "nobody.example.com"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
				for _, path := range []string{"/", "/headers", "/a/b%2Fc", "/ping?x=1", "/robots.txt", "/orders/7;a=b", "/verify"} {
					fate := c.fate(t, name, host, method, path)
					counted[fate]++
					got, err := c.send(t.Context(), request{method: method, host: host, path: path})
					require.NoError(t, err)
					want := map[policy.Fate]int{policy.Asked: 401, policy.LetIn: 200, policy.Denied: 403, policy.NotRouted: 404}[fate]
					assert.Equal(t, want, got.status, "%s %s%s is %s: %s", method, host, path, fate, got.body)
				}
			}
		}
	}
	t.Logf("what explain says of requests: %v", counted)
	assert.Len(t, counted, 4, "of each kind there are some")
}

// fate asks explain about a request to an APIRule.
func (c *cluster) fate(t *testing.T, name, host, method, path string) policy.Fate {
	t.Helper()
	var out bytes.Buffer
	_ = cli.Run(t.Context(), []string{
		"explain", namespace + "/" + name, "--kubeconfig", c.kubeconfig, "-o", "json",
		"--request", fmt.Sprintf("%s https://%s.example.com%s", method, name, path), "--header", "Host=" + host,
	}, cli.Streams{In: &bytes.Buffer{}, Out: &out, Err: &bytes.Buffer{}}) // its exit code is about the verdict
	var explained struct{ Request struct{ Fate policy.Fate } }
	require.NoError(t, json.Unmarshal(out.Bytes(), &explained), out.String())
	return explained.Request.Fate
}
