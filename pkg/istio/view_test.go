// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// object decodes YAML as the API machinery decodes: integers are int64.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	var decoded map[string]any
	require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts(raw, &decoded))
	return decoded
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		text string
		want istio.View
	}{
		"nothing":   {"{}", istio.View{}},
		"null":      {"null", istio.View{}},
		"no config": {"{metadata: {name: default, namespace: kyma-system}, spec: {}}", istio.View{Namespace: "kyma-system", Name: "default"}},
		"everything": {
			`
metadata:
  name: default
  namespace: kyma-system
  creationTimestamp: "2026-01-02T03:04:05Z"
  annotations: {a: b, c: 1}
spec:
  config:
    numTrustedProxies: 1
    authorizers:
    - name: oauth2-proxy
      service: oauth2-proxy.oauth2-proxy.svc.cluster.local
      port: 80
      pathPrefix: /verify?original=
      timeout: 5s
      headers: {inCheck: {include: [cookie], add: {x-b: "2", x-a: "1"}}}
    - {name: corp}
status: {state: Warning, description: its own words}
`,
			istio.View{
				Namespace: "kyma-system", Name: "default", Created: "2026-01-02T03:04:05Z",
				State: "Warning", Description: "its own words", Annotations: map[string]string{"a": "b"},
				Authorizers: []istio.Authorizer{
					{Index: 0, Name: "oauth2-proxy", Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: "/verify?original=", Timeout: "5s", Include: []string{"cookie"}, Add: []string{"x-a", "x-b"}},
					{Index: 1, Name: "corp"},
				},
			},
		},
		"garbage between authorizers keeps its place": {
			`spec: {config: {authorizers: [{name: a}, text, 7, null, [], {}, {name: 5}, {name: ""}, {name: b, port: "80", service: 1, timeout: 5, pathPrefix: {}}, {name: c, port: -1}]}}`,
			istio.View{Authorizers: []istio.Authorizer{
				{Index: 0, Name: "a"},
				{Index: 1, Malformed: true},
				{Index: 2, Malformed: true},
				{Index: 3, Malformed: true},
				{Index: 4, Malformed: true},
				{Index: 5, Malformed: true},
				{Index: 6, Malformed: true},
				{Index: 7},
				{Index: 8, Name: "b", Mistyped: []string{"pathPrefix", "service", "timeout", "port"}},
				{Index: 9, Name: "c", Port: -1},
			}},
		},
		"what only a whole look finds": {
			`spec: {config: {authorizers: [{name: a, timeout: "", headers: {inCheck: {include: [x, "*"]}, toUpstream: {onAllow: ["*"]}, toDownstream: {onAllow: ["x-*"], onDeny: ["*"]}}}, {name: b, timeout: null, headers: "*"}]}}`,
			istio.View{Authorizers: []istio.Authorizer{
				{Index: 0, Name: "a", EmptyTimeout: true, BareWildcards: []string{"headers.inCheck.include[1]", "headers.toUpstream.onAllow[0]", "headers.toDownstream.onDeny[0]"}, UpstreamOnAllow: []string{"*"}, Include: []string{"x", "*"}},
				{Index: 1, Name: "b"},
			}},
		},
		"authorizers of a wrong type are none": {`spec: {config: {authorizers: {name: a}}}`, istio.View{}},
		"config of a wrong type is none":       {`spec: {config: [a]}`, istio.View{}},
		"spec and status of wrong types":       {`{spec: a, status: b, metadata: c}`, istio.View{}},
		"annotations of a wrong type are none": {`metadata: {annotations: [a]}`, istio.View{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			given := object(t, tc.text)
			got := istio.Parse(given)
			assert.Empty(t, cmp.Diff(tc.want, got))
			assert.Empty(t, cmp.Diff(object(t, tc.text), given), "the object is only read")
		})
	}
}

func TestViewNames(t *testing.T) {
	assert.Equal(t, types.NamespacedName{Namespace: "kyma-system", Name: "default"}, istio.View{Namespace: "kyma-system", Name: "default"}.NamespacedName())
	assert.Equal(t, "spec.config.authorizers[3]", istio.Authorizer{Index: 3}.Field().String())
}

func TestActive(t *testing.T) {
	cr := func(namespace, name, created string) istio.View {
		return istio.View{Namespace: namespace, Name: name, Created: created}
	}
	cases := map[string]struct {
		views []istio.View
		want  string
	}{
		"none":                             {nil, ""},
		"only elsewhere":                   {[]istio.View{cr("default", "a", "2026-01-01T00:00:00Z")}, ""},
		"the only one":                     {[]istio.View{cr("kyma-system", "a", "2026-01-01T00:00:00Z")}, "a"},
		"the oldest wins":                  {[]istio.View{cr("kyma-system", "a", "2026-01-02T00:00:00Z"), cr("kyma-system", "b", "2026-01-01T00:00:00Z")}, "b"},
		"an older one elsewhere is no one": {[]istio.View{cr("other", "a", "2020-01-01T00:00:00Z"), cr("kyma-system", "b", "2026-01-01T00:00:00Z")}, "b"},
		"of equally old ones the later one in the order of names, in which the API server lists": {
			[]istio.View{cr("kyma-system", "a", "2026-01-01T00:00:00Z"), cr("kyma-system", "b", "2026-01-01T00:00:00Z")}, "b",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				got, found := istio.Active(tc.views)
				assert.Equal(t, tc.want != "", found)
				assert.Equal(t, tc.want, got.Name)
				slices.Reverse(tc.views) // caches list in any order
			}
		})
	}
}

func TestBackend(t *testing.T) {
	cases := map[string]struct {
		service string
		want    types.NamespacedName
	}{
		"the full name of a Service":        {"oauth2-proxy.auth.svc.cluster.local", types.NamespacedName{Namespace: "auth", Name: "oauth2-proxy"}},
		"another cluster domain":            {"oauth2-proxy.auth.svc.example.com", types.NamespacedName{Namespace: "auth", Name: "oauth2-proxy"}},
		"no cluster domain":                 {"oauth2-proxy.auth.svc", types.NamespacedName{Namespace: "auth", Name: "oauth2-proxy"}},
		"a namespace of Istio before it":    {"istio-system/oauth2-proxy.auth.svc.cluster.local", types.NamespacedName{Namespace: "auth", Name: "oauth2-proxy"}},
		"a short name is none":              {"oauth2-proxy", types.NamespacedName{}},
		"a name with a namespace is none":   {"oauth2-proxy.auth", types.NamespacedName{}},
		"a host of the world is none":       {"sso.example.com", types.NamespacedName{}},
		"a name that begins like svc":       {"a.b.svc2.cluster.local", types.NamespacedName{}},
		"no name":                           {".auth.svc", types.NamespacedName{}},
		"no namespace":                      {"oauth2-proxy..svc", types.NamespacedName{}},
		"nothing":                           {"", types.NamespacedName{}},
		"nothing after a namespace":         {"a/", types.NamespacedName{}},
		"a second slash is part of no name": {"a/b/c.d.svc", types.NamespacedName{Namespace: "d", Name: "b/c"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := istio.Authorizer{Service: tc.service}.Backend()
			assert.Equal(t, tc.want, got)
			assert.Equal(t, tc.want != types.NamespacedName{}, ok)
		})
	}
}

// FuzzParse: whatever is stored as an Istio CR reads without a panic, keeps the
// place of each entry, and is not changed.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`null`, `{}`, `{"metadata":null,"spec":null,"status":null}`, `{"metadata":{"annotations":{"a":1}}}`,
		`{"metadata":{"namespace":"kyma-system","name":"default","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"config":{"authorizers":[{"name":"a","service":"a.b.svc","port":80},null,"x",{"name":7},{"name":"a"}]}}}`,
		`{"spec":{"config":{"authorizers":{"name":"a"}}}}`, `{"spec":{"config":{"authorizers":[{"name":"\u0000","port":99999999999999999999,"service":"/..svc"}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var given, untouched map[string]any
		if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &given) != nil {
			t.Skip("not an object")
		}
		require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts(raw, &untouched))
		view := istio.Parse(given)
		require.Empty(t, cmp.Diff(untouched, given))
		require.Empty(t, cmp.Diff(view, istio.Parse(given)))
		for i, authorizer := range view.Authorizers {
			require.Equal(t, i, authorizer.Index)
			backend, ok := authorizer.Backend()
			require.Equal(t, ok, backend.Name != "" && backend.Namespace != "")
		}
		_, found := istio.Active([]istio.View{view})
		require.Equal(t, view.Namespace == istio.Namespace, found)
	})
}
