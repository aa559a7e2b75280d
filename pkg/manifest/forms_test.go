// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
)

// protect returns a text with the authorizer x in every rule that has none.
func protect(t testing.TB, text string) string {
	t.Helper()
	content, err := manifest.Document{Text: []byte(text), Line: 1}.Read()
	require.NoError(t, err, text)
	got, err := content.Patch(patches(content))
	require.NoError(t, err, text)
	return string(got)
}

func patches(content *manifest.Content) []manifest.Patch {
	var all []manifest.Patch
	for _, object := range content.Objects {
		view := apirule.Parse(object.Value, "")
		var edits apirule.Edits
		for _, rule := range view.Rules {
			if rule.Strategy != apirule.Malformed && len(rule.Authorizers) == 0 {
				edits.Rules = append(edits.Rules, apirule.Edit{Rule: rule.Index, Replaces: rule.Strategy, Authorizers: []string{"x"}})
			}
		}
		all = append(all, manifest.Patch{Pointer: object.Pointer, Operations: apirule.JSONPatch(view, edits)})
	}
	return all
}

// A rule is what stands behind "rules:" and a line end.
func TestEveryFormOfARuleStays(t *testing.T) {
	cases := map[string]struct{ rule, want string }{
		"a comment behind an empty key":         {"  - path: /a\n    extAuth:   # fill me\n    methods: [GET]\n", "  - path: /a\n    extAuth:   # fill me\n      authorizers:\n      - x\n    methods: [GET]\n"},
		"a comment behind the last, empty key":  {"  - path: /a\n    extAuth: # fill me", "  - path: /a\n    extAuth: # fill me\n      authorizers:\n      - x"},
		"a comment below an empty key":          {"  - path: /a\n    extAuth:\n      # todo\n    methods: [GET]\n", "  - path: /a\n    extAuth:\n      authorizers:\n      - x\n      # todo\n    methods: [GET]\n"},
		"a comment behind null":                 {"  - path: /a\n    extAuth: null # none\n", "  - path: /a\n    extAuth: # none\n      authorizers:\n      - x\n"},
		"a comment behind a tilde":              {"  - path: /a\n    extAuth: ~  # none\n", "  - path: /a\n    extAuth:  # none\n      authorizers:\n      - x\n"},
		"a comment behind an empty list":        {"  - path: /a\n    extAuth:\n      authorizers: [] # who\n", "  - path: /a\n    extAuth:\n      authorizers: # who\n      - x\n"},
		"a comment in an empty list":            {"  - path: /a\n    extAuth:\n      authorizers: [\n      # who\n      ]\n", "  - path: /a\n    extAuth:\n      authorizers:\n      - x\n"},
		"empty braces, and a comment":           {"  - path: /a\n    extAuth: {} # who\n", "  - path: /a\n    extAuth: {authorizers: [x]} # who\n"},
		"an empty list in braces":               {"  - {path: /a, extAuth: {authorizers: []}} # who\n", "  - {path: /a, extAuth: {authorizers: [x]}} # who\n"},
		"an empty key in braces":                {"  - {path: /a, extAuth: , methods: [GET]}\n", "  - {path: /a, extAuth: {authorizers: [x]}, methods: [GET]}\n"},
		"a null in braces":                      {"  - {path: /a, extAuth: null, methods: [GET]}\n", "  - {path: /a, extAuth: {authorizers: [x]}, methods: [GET]}\n"},
		"noAuth false stays":                    {"  - path: /a\n    noAuth: false # no\n", "  - path: /a\n    noAuth: false # no\n    extAuth:\n      authorizers:\n      - x\n"},
		"noAuth goes from the end of braces":    {"  - {path: /a, noAuth: true}\n", "  - {path: /a, extAuth: {authorizers: [x]}}\n"},
		"noAuth goes from the middle of braces": {"  - {path: /a, noAuth: true, methods: [GET]}\n", "  - {path: /a, methods: [GET], extAuth: {authorizers: [x]}}\n"},
		"noAuth is all there is in braces":      {"  - {noAuth: true}\n", "  - {extAuth: {authorizers: [x]}}\n"},
		"noAuth is all there is":                {"  - noAuth: true # all\n", "  - extAuth:\n      authorizers:\n      - x\n"},
		"braces over lines":                     {"  - {\n      path: /a, # where\n      methods: [GET] # how\n    }\n", "  - {\n      path: /a, # where\n      methods: [GET], # how\n      extAuth: {authorizers: [x]}\n    }\n"},
		"braces with a comma at the end":        {"  - {path: /a,}\n", "  - {path: /a, extAuth: {authorizers: [x]},}\n"},
		"quotes in braces":                      {"  - {'path': '/it''s', \"methods\": [\"GET\"]}\n", "  - {'path': '/it''s', \"methods\": [\"GET\"], extAuth: {authorizers: [x]}}\n"},
		"a jwt in braces":                       {"  - {path: /a, jwt: {authentications: [{issuer: 'https://i', jwksUri: https://k}]}, methods: [GET]}\n", "  - {path: /a, methods: [GET], extAuth: {authorizers: [x], restrictions: {authentications: [{issuer: 'https://i', jwksUri: https://k}]}}}\n"},
		"a jwt in braces, in a rule in lines":   {"  - path: /a\n    jwt: {authentications: [{issuer: i}]} # who\n", "  - path: /a\n    extAuth:\n      authorizers:\n      - x\n      restrictions: {authentications: [{issuer: i}]} # who\n"},
		"a jwt behind the dash":                 {"  - jwt:\n      authentications:\n      - issuer: i # who\n    path: /a\n", "  - path: /a\n    extAuth:\n      authorizers:\n      - x\n      restrictions:\n        authentications:\n        - issuer: i # who\n"},
		"quoted keys in lines":                  {"  - \"path\": /a\n    'extAuth': # fill\n", "  - \"path\": /a\n    'extAuth': # fill\n      authorizers:\n      - x\n"},
		"wide characters in front":              {"  - {path: \"/äöü😀\", methods: [GET]} # 😀\n", "  - {path: \"/äöü😀\", methods: [GET], extAuth: {authorizers: [x]}} # 😀\n"},
		"a dash of its own":                     {"  -   path: /a\n      methods: [GET]\n", "  -   path: /a\n      methods: [GET]\n      extAuth:\n        authorizers:\n        - x\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, want := "# all\nspec:\n  rules:\n"+tc.rule, "# all\nspec:\n  rules:\n"+tc.want
			assert.Empty(t, cmp.Diff(want, protect(t, before)), "(-want +got)")
			for _, frame := range []func(string) string{
				func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
				func(text string) string { return "\ufeff" + text },
				func(text string) string { return strings.TrimSuffix(text, "\n") },
				func(text string) string { return "---\n" + text },
				func(text string) string { return "\ufeff---\r\n" + strings.ReplaceAll(text, "\n", "\r\n") },
			} {
				assert.Empty(t, cmp.Diff(frame(want), protect(t, frame(before))), "(-want +got)")
			}
		})
	}
}

// What has a form that is not changed line by line is written anew.
func TestARareFormIsWrittenAnew(t *testing.T) {
	got := protect(t, "spec:\r\n  rules:\r\n  - ? path\r\n    : /a # where\r\n    ? extAuth\r\n    :\r\n")
	assert.Equal(t, "spec:\r\n  rules:\r\n  - path: /a # where\r\n    extAuth:\r\n      authorizers:\r\n      - x\r\n", got)
}

func TestJSONOfEveryForm(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"surrogate pairs":                 {`{"a":"\ud83d\ude80 \u00e4 \/ \b\f","spec":{"rules":[{"path":"/"}]}}`, `{"a":"\ud83d\ude80 \u00e4 \/ \b\f","spec":{"rules":[{"path":"/", "extAuth": {"authorizers": ["x"]}}]}}`},
		"half a pair":                     {`{"a":"\ud83d","spec":{"rules":[{"path":"/"}]}}`, `{"a":"\ud83d","spec":{"rules":[{"path":"/", "extAuth": {"authorizers": ["x"]}}]}}`},
		"a line end of Unicode in a text": {"{\"a\":\"\u2028\u0085\",\n\"spec\":{\"rules\":[{\"path\":\"/\u2029\"}]}}\n", "{\"a\":\"\u2028\u0085\",\n\"spec\":{\"rules\":[{\"path\":\"/\u2029\", \"extAuth\": {\"authorizers\": [\"x\"]}}]}}\n"},
		"numbers":                         {`{"a":[1,1.5,1e3,-0,12345678901234567890,true,null],"spec":{"rules":[{"noAuth":true,"path":"/"}]}}`, `{"a":[1,1.5,1e3,-0,12345678901234567890,true,null],"spec":{"rules":[{"path":"/", "extAuth": {"authorizers": ["x"]}}]}}`},
		"tabs and Windows":                {"{\r\n\t\"spec\": {\r\n\t\t\"rules\": [{\r\n\t\t\t\"path\": \"/\"\r\n\t\t}]\r\n\t}\r\n}", "{\r\n\t\"spec\": {\r\n\t\t\"rules\": [{\r\n\t\t\t\"path\": \"/\",\r\n\t\t\t\"extAuth\": {\"authorizers\": [\"x\"]}\r\n\t\t}]\r\n\t}\r\n}"},
		"escapes in keys":                 {`{"sp\u0065c":{"rules":[{"p\u0061th":"/"}]}}`, `{"sp\u0065c":{"rules":[{"p\u0061th":"/", "extAuth": {"authorizers": ["x"]}}]}}`},
		"a mark in front":                 {"\ufeff{\"spec\":{\"rules\":[{\"path\":\"/\"}]}}", "\ufeff{\"spec\":{\"rules\":[{\"path\":\"/\", \"extAuth\": {\"authorizers\": [\"x\"]}}]}}"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, protect(t, tc.text)), "(-want +got)")
		})
	}
}

// An object has the same lines in a List as in a stream, but for their indent.
func TestAListIsChangedAsAStreamIs(t *testing.T) {
	objects := []string{
		"kind: APIRule\nspec:\n  rules:\n  - path: /a\n",
		"kind: APIRule\nspec:\n    rules:\n      - path: /a # four and two\n        methods:\n          - GET\n",
		"kind: APIRule\nspec: {rules: [{path: /a}]}\n",
		"kind: APIRule\n# a comment\nspec:\n  rules:\n  - path: /a\n    extAuth: # fill\n  # between\n  - {path: /b}\n",
		"{\"kind\": \"APIRule\", \"spec\": {\"rules\": [{\"path\": \"/\"}]}}\n",
		"kind: APIRule\nspec:\n  rules:\n  - jwt:\n      authentications: []\n    path: /a\n",
	}
	var list, want strings.Builder
	for _, object := range objects {
		list.WriteString(item(object))
		want.WriteString(item(protect(t, object)))
	}
	const head = "apiVersion: v1\nkind: List\nitems:\n"
	assert.Empty(t, cmp.Diff(head+want.String(), protect(t, head+list.String())), "(-stream +list)")
}

func item(text string) string {
	return "- " + strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\n  "), "  ")
}

func TestThePlaceOfAnItemWithoutKind(t *testing.T) {
	content, err := manifest.Document{Line: 1, Text: []byte("apiVersion: gateway.kyma-project.io/v2\nkind: APIRuleList\nitems:\n- spec: {rules: [{path: /}]}\n- kind: Other\n")}.Read()
	require.NoError(t, err)
	require.Len(t, content.Objects, 2)
	assert.Equal(t, "APIRule", content.Objects[0].Value["kind"])
	assert.Equal(t, "gateway.kyma-project.io/v2", content.Objects[0].Value["apiVersion"])
	assert.Equal(t, "Other", content.Objects[1].Value["kind"])
	got, err := content.Patch(patches(content))
	require.NoError(t, err)
	assert.Contains(t, string(got), "- spec: {rules: [{path: /, extAuth: {authorizers: [x]}}]}\n- kind", "the item itself gets no kind")
}

// What changing a List costs grows as the List does.
func TestPatchIsLinear(t *testing.T) {
	for name, one := range map[string]string{
		"in lines":          "- kind: APIRule\n  spec:\n    rules:\n    - path: /*\n      methods: [GET]\n",
		"in braces, a line": "{kind: APIRule, spec: {rules: [{path: '/*', methods: [GET]}]}}, ",
		"JSON, a line":      `{"kind": "APIRule", "spec": {"rules": [{"path": "/*", "methods": ["GET"]}]}}, `,
	} {
		t.Run(name, func(t *testing.T) {
			of := func(n int) string {
				switch one[0] {
				case '-':
					return "kind: List\nitems:\n" + strings.Repeat(one, n)
				case '{':
					return fmt.Sprintf(`{"kind": "List", "items": [%s]}`, strings.TrimSuffix(strings.Repeat(one, n), ", "))
				}
				return ""
			}
			cost := func(n int) float64 {
				text := of(n)
				return float64(testing.Benchmark(func(b *testing.B) {
					b.ReportAllocs()
					for range b.N {
						protect(b, text)
					}
				}).AllocedBytesPerOp())
			}
			small, large := cost(50), cost(200)
			assert.LessOrEqual(t, large/small, 5.0, "bytes of 200 items %.0f, of 50 items %.0f", large, small)
		})
	}
}
