// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

const proxy = `{"name":"oauth2-proxy","service":"oauth2-proxy.oauth2-proxy.svc.cluster.local","port":80,` +
	`"pathPrefix":"/verify?original=","headers":{"inCheck":{"include":["authorization"]}}}`

func TestReplaceAuthorizer(t *testing.T) {
	list := []any{map[string]any{"name": "corp"}, "text", map[string]any{"name": "sso", "headers": map[string]any{"inCheck": "old"}, "extra": true}}
	want := map[string]any{"name": "sso", "port": int64(80)}
	out, changed := istio.ReplaceAuthorizer(list, want)
	assert.True(t, changed)
	assert.Empty(t, cmp.Diff([]any{list[0], "text", want}, out), "keys that are not wanted are gone, the others stay")
	again, changed := istio.ReplaceAuthorizer(out, want)
	assert.False(t, changed)
	assert.Empty(t, cmp.Diff(out, again))
	added, changed := istio.ReplaceAuthorizer(nil, want)
	assert.True(t, changed)
	assert.Empty(t, cmp.Diff([]any{want}, added))
	_, changed = istio.ReplaceAuthorizer(list, map[string]any{"port": int64(80)})
	assert.False(t, changed, "without a name there is no entry to find again")
}

func TestEnsureAuthorizer(t *testing.T) {
	cases := map[string]struct {
		list, want  string
		wantChanged bool
	}{
		"no list yet": {`null`, `[` + proxy + `]`, true},
		"appends after what others registered, malformed or not": {
			`[{"name":"geo","port":1},"text",null,7,{"name":""},{}]`,
			`[{"name":"geo","port":1},"text",null,7,{"name":""},{},` + proxy + `]`, true,
		},
		"nothing to do": {`[{"name":"geo"},` + proxy + `]`, `[{"name":"geo"},` + proxy + `]`, false},
		"corrects our entry in its place and keeps keys that are not ours": {
			`[{"name":"oauth2-proxy","port":81,"timeout":"5s","headers":{"inCheck":{"include":["x"],"add":{"a":"b"}},"toUpstream":{"onAllow":["c"]}}},{"name":"geo"}]`,
			`[{"name":"oauth2-proxy","port":80,"timeout":"5s","service":"oauth2-proxy.oauth2-proxy.svc.cluster.local","pathPrefix":"/verify?original=",` +
				`"headers":{"inCheck":{"include":["authorization"],"add":{"a":"b"}},"toUpstream":{"onAllow":["c"]}}},{"name":"geo"}]`, true,
		},
		"a second entry of our name is somebody else's mistake to see, not ours to hide": {
			`[` + proxy + `,{"name":"oauth2-proxy","port":9}]`, `[` + proxy + `,{"name":"oauth2-proxy","port":9}]`, false,
		},
		"a value of another type is replaced": {
			`[{"name":"oauth2-proxy","headers":"none"}]`, `[` + proxy + `]`, true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list := decodeList(t, tc.list)
			before := encode(t, list)
			got, changed := istio.EnsureAuthorizer(list, decodeMap(t, proxy))
			assert.Empty(t, cmp.Diff(decodeList(t, tc.want), got), "(-want +got)")
			assert.Equal(t, tc.wantChanged, changed)
			assert.Equal(t, before, encode(t, list), "the argument was modified")
		})
	}
}

func TestEnsureAuthorizerNeedsAName(t *testing.T) {
	for _, want := range []map[string]any{nil, {}, {"name": ""}, {"name": int64(3)}} {
		got, changed := istio.EnsureAuthorizer([]any{"x"}, want)
		assert.False(t, changed)
		assert.Equal(t, []any{"x"}, got)
	}
}

func TestEnsureAuthorizerSharesNothingWithItsArguments(t *testing.T) {
	list, want := decodeList(t, `[{"name":"geo","headers":{"a":["b"]}}]`), decodeMap(t, proxy)
	got, _ := istio.EnsureAuthorizer(list, want)
	got[0].(map[string]any)["headers"].(map[string]any)["a"].([]any)[0] = "changed"
	got[1].(map[string]any)["headers"].(map[string]any)["inCheck"] = "changed"
	assert.Empty(t, cmp.Diff(decodeList(t, `[{"name":"geo","headers":{"a":["b"]}}]`), list))
	assert.Empty(t, cmp.Diff(decodeMap(t, proxy), want))
}

func TestRemoveAuthorizer(t *testing.T) {
	cases := map[string]struct {
		list, want  string
		wantChanged bool
	}{
		"no list":               {`null`, `null`, false},
		"not there":             {`["oauth2-proxy",null,{"name":"geo"}]`, `["oauth2-proxy",null,{"name":"geo"}]`, false},
		"in the middle":         {`[{"name":"a"},` + proxy + `,"b"]`, `[{"name":"a"},"b"]`, true},
		"the only one":          {`[` + proxy + `]`, `[]`, true},
		"only the first of two": {`[` + proxy + `,{"name":"oauth2-proxy","port":9}]`, `[{"name":"oauth2-proxy","port":9}]`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list := decodeList(t, tc.list)
			before := encode(t, list)
			got, changed := istio.RemoveAuthorizer(list, "oauth2-proxy")
			assert.Empty(t, cmp.Diff(decodeList(t, tc.want), got), "(-want +got)")
			assert.Equal(t, tc.wantChanged, changed)
			assert.Equal(t, before, encode(t, list), "the argument was modified")
		})
	}
}

// FuzzEnsureAuthorizer holds the promises for any list an API server could hand
// out: idempotent, foreign entries byte for byte and in order, all of want
// there, and removing what was added gives back what was there.
func FuzzEnsureAuthorizer(f *testing.F) {
	for _, list := range []string{
		`null`, `[]`, `["oauth2-proxy"]`, `[{"name":"geo"},{"name":"oauth2-proxy","port":1,"x":{"y":null}}]`,
		`[{"name":"oauth2-proxy","headers":[]},null,[[{}]]]`, `[{"name":null},{"name":{"name":"oauth2-proxy"}}]`,
	} {
		f.Add([]byte(list), []byte(proxy))
		f.Add([]byte(list), []byte(`{"name":"geo","headers":{"a":{"b":null}}}`))
	}
	f.Fuzz(func(t *testing.T, rawList, rawWant []byte) {
		var list []any
		var want map[string]any
		if utiljson.Unmarshal(rawList, &list) != nil || utiljson.Unmarshal(rawWant, &want) != nil {
			t.Skip("not JSON")
		}
		name, _ := want["name"].(string)
		before := encode(t, list)

		once, changed := istio.EnsureAuthorizer(list, want)
		require.Equal(t, before, encode(t, list), "the argument was modified")
		if name == "" {
			require.False(t, changed)
			require.Equal(t, before, encode(t, once))
			return
		}
		require.Equal(t, changed, !bytes.Equal(before, encode(t, once)), "changed does not tell the truth")

		at := index(once, name)
		require.GreaterOrEqual(t, at, 0)
		require.True(t, contains(once[at], want), "want is not in the entry")
		require.Equal(t, others(t, list, name), others(t, once, name), "a foreign entry changed")

		twice, again := istio.EnsureAuthorizer(once, want)
		require.False(t, again, "not idempotent")
		require.Equal(t, encode(t, once), encode(t, twice))

		if index(list, name) < 0 {
			removed, _ := istio.RemoveAuthorizer(once, name)
			require.Equal(t, others(t, list, name), others(t, removed, name))
			require.Len(t, removed, len(list))
		}
	})
}

// others encodes all entries but the first of that name.
func others(t *testing.T, list []any, name string) []string {
	t.Helper()
	var out []string
	at := index(list, name)
	for i, entry := range list {
		if i != at {
			out = append(out, string(encode(t, entry)))
		}
	}
	return out
}

func index(list []any, name string) int {
	for i, entry := range list {
		if m, ok := entry.(map[string]any); ok && m["name"] == name {
			return i
		}
	}
	return -1
}

// contains says whether have holds every field of want.
func contains(have, want any) bool {
	haveMap, haveIsMap := have.(map[string]any)
	wantMap, wantIsMap := want.(map[string]any)
	if !haveIsMap || !wantIsMap {
		return cmp.Equal(have, want)
	}
	for key, value := range wantMap {
		current, ok := haveMap[key]
		if !ok || !contains(current, value) {
			return false
		}
	}
	return true
}

func decodeList(t *testing.T, raw string) []any {
	t.Helper()
	var out []any
	require.NoError(t, utiljson.Unmarshal([]byte(raw), &out))
	if out == nil {
		return nil
	}
	return runtime.DeepCopyJSONValue(out).([]any)
}

func decodeMap(t *testing.T, raw string) map[string]any {
	t.Helper()
	var out map[string]any
	require.NoError(t, utiljson.Unmarshal([]byte(raw), &out))
	return out
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}
