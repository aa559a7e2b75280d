// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestParseMesh(t *testing.T) {
	cases := map[string]struct {
		text string
		want map[string]bool
	}{
		"empty text":                           {"", map[string]bool{}},
		"nothing but a comment":                {"# nothing\n", map[string]bool{}},
		"no providers":                         {"trustDomain: cluster.local\n", map[string]bool{}},
		"providers that are null":              {"extensionProviders: null\n", map[string]bool{}},
		"http speaks ext_authz, others do not": {"extensionProviders:\n- name: oauth2-proxy\n  envoyExtAuthzHttp: {service: a.b.svc, port: 80}\n- name: kyma-traces\n  opentelemetry: {port: 4317}\n- name: grpc\n  envoyExtAuthzGrpc: {port: 1}\n", map[string]bool{"oauth2-proxy": true, "kyma-traces": false, "grpc": false}},
		"an empty entry is one":                {"extensionProviders: [{name: a, envoyExtAuthzHttp: {}}]", map[string]bool{"a": true}},
		"a null entry is none":                 {"extensionProviders: [{name: a, envoyExtAuthzHttp: null}]", map[string]bool{"a": false}},
		"of one name the first counts":         {"extensionProviders: [{name: envoy}, {name: envoy, envoyExtAuthzHttp: {}}]", map[string]bool{"envoy": false}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mesh, err := istio.ParseMesh(tc.text)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(tc.want, mesh.Providers))
		})
	}
}

func TestParseMeshRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"something that is not YAML": "extensionProviders: [",
		"something not a map":        "- a",
		"providers of a wrong type":  "extensionProviders: many",
		"a provider of a wrong type": "extensionProviders: [a]",
		"a name of a wrong type":     "extensionProviders: [{name: {a: b}}]",
	} {
		t.Run(name, func(t *testing.T) {
			mesh, err := istio.ParseMesh(text)
			require.ErrorContains(t, err, "reading the mesh configuration: ")
			assert.Empty(t, cmp.Diff(istio.Mesh{}, mesh))
		})
	}
}

// FuzzParseMesh: whatever is in the ConfigMap, reading it ends with providers or
// with an error.
func FuzzParseMesh(f *testing.F) {
	for _, seed := range []string{"", "a", "{", "extensionProviders: [{name: a, envoyExtAuthzHttp: {}}]", "extensionProviders:\n- &a {name: b}\n- *a\n", "a: &a [*a]", "? a\n: b", "\xff", "extensionProviders: [null, {}]", "extensionProviders: [{name: 1}]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mesh, err := istio.ParseMesh(text)
		require.Equal(t, err == nil, mesh.Providers != nil)
	})
}
