// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package apirule_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

func TestJSONPatch(t *testing.T) {
	record, none := "[]", ""
	edit := func(replaces apirule.Strategy) apirule.Edits {
		return apirule.Edits{Rules: []apirule.Edit{{Rule: 0, Replaces: replaces, Authorizers: []string{"b", "a"}}}}
	}
	cases := map[string]struct {
		object string
		edits  apirule.Edits
		patch  string
		want   string
	}{
		"no edits": {`{spec: {rules: [{}]}}`, apirule.Edits{}, `null`, `{spec: {rules: [{}]}}`},
		"an open rule gets extAuth": {
			`{spec: {rules: [{path: /a}]}}`, edit(apirule.Open),
			`[{op: add, path: /spec/rules/0/extAuth, value: {authorizers: [b, a]}}]`,
			`{spec: {rules: [{path: /a, extAuth: {authorizers: [b, a]}}]}}`,
		},
		"noAuth false stays where it is": {
			`{spec: {rules: [{noAuth: false}]}}`, edit(apirule.Open),
			`[{op: add, path: /spec/rules/0/extAuth, value: {authorizers: [b, a]}}]`,
			`{spec: {rules: [{noAuth: false, extAuth: {authorizers: [b, a]}}]}}`,
		},
		"extAuth keeps its restrictions": {
			`{spec: {rules: [{extAuth: {authorizers: [], restrictions: {a: [1]}}}]}}`, edit(apirule.ExtAuth),
			`[{op: add, path: /spec/rules/0/extAuth/authorizers, value: [b, a]}]`,
			`{spec: {rules: [{extAuth: {authorizers: [b, a], restrictions: {a: [1]}}}]}}`,
		},
		"noAuth goes": {
			`{spec: {rules: [{noAuth: true, methods: [GET]}]}}`, edit(apirule.NoAuth),
			`[{op: remove, path: /spec/rules/0/noAuth}, {op: add, path: /spec/rules/0/extAuth, value: {authorizers: [b, a]}}]`,
			`{spec: {rules: [{methods: [GET], extAuth: {authorizers: [b, a]}}]}}`,
		},
		"a jwt becomes restrictions, verbatim": {
			`{spec: {rules: [{jwt: {authentications: [{issuer: i, unknown: 12345678901234567}]}}]}}`, edit(apirule.JWT),
			`[{op: add, path: /spec/rules/0/extAuth, value: {authorizers: [b, a]}}, {op: move, from: /spec/rules/0/jwt, path: /spec/rules/0/extAuth/restrictions}]`,
			`{spec: {rules: [{extAuth: {authorizers: [b, a], restrictions: {authentications: [{issuer: i, unknown: 12345678901234567}]}}}]}}`,
		},
		"several rules, each at its place": {
			`{spec: {rules: [{}, {jwt: {}}, {noAuth: true}]}}`,
			apirule.Edits{Rules: []apirule.Edit{
				{Rule: 0, Replaces: apirule.Open, Authorizers: []string{"a"}},
				{Rule: 2, Replaces: apirule.NoAuth, Authorizers: []string{"b"}},
			}},
			`[{op: add, path: /spec/rules/0/extAuth, value: {authorizers: [a]}}, {op: remove, path: /spec/rules/2/noAuth}, {op: add, path: /spec/rules/2/extAuth, value: {authorizers: [b]}}]`,
			`{spec: {rules: [{extAuth: {authorizers: [a]}}, {jwt: {}}, {extAuth: {authorizers: [b]}}]}}`,
		},
		"the record joins other annotations": {
			`{metadata: {annotations: {a: b}}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata/annotations/extauth-guard.io~1injected, value: "[]"}]`,
			`{metadata: {annotations: {a: b, extauth-guard.io/injected: "[]"}}}`,
		},
		"the record joins annotations without entries": {
			`{metadata: {annotations: {}}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata/annotations/extauth-guard.io~1injected, value: "[]"}]`,
			`{metadata: {annotations: {extauth-guard.io/injected: "[]"}}}`,
		},
		"the record replaces an earlier one": {
			`{metadata: {annotations: {extauth-guard.io/injected: x}}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata/annotations/extauth-guard.io~1injected, value: "[]"}]`,
			`{metadata: {annotations: {extauth-guard.io/injected: "[]"}}}`,
		},
		"the record is the first annotation": {
			`{metadata: {name: a}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata/annotations, value: {extauth-guard.io/injected: "[]"}}]`,
			`{metadata: {name: a, annotations: {extauth-guard.io/injected: "[]"}}}`,
		},
		"the record is the first annotation where there is null": {
			`{metadata: {annotations: null}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata/annotations, value: {extauth-guard.io/injected: "[]"}}]`,
			`{metadata: {annotations: {extauth-guard.io/injected: "[]"}}}`,
		},
		"the record is the first metadata": {
			`{spec: {}}`,
			apirule.Edits{Provenance: &record},
			`[{op: add, path: /metadata, value: {annotations: {extauth-guard.io/injected: "[]"}}}]`,
			`{spec: {}, metadata: {annotations: {extauth-guard.io/injected: "[]"}}}`,
		},
		"the record goes": {
			`{metadata: {annotations: {extauth-guard.io/injected: x, a: b}}}`,
			apirule.Edits{Provenance: &none},
			`[{op: remove, path: /metadata/annotations/extauth-guard.io~1injected}]`,
			`{metadata: {annotations: {a: b}}}`,
		},
		"the record goes where none is": {
			`{metadata: {annotations: {a: b}}}`,
			apirule.Edits{Provenance: &none},
			`null`, `{metadata: {annotations: {a: b}}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			raw := toJSON(t, tc.object)
			operations := apirule.JSONPatch(apirule.Parse(decode(t, raw), "shop"), tc.edits)
			rendered, err := json.Marshal(operations)
			require.NoError(t, err)
			assert.JSONEq(t, string(toJSON(t, tc.patch)), string(rendered))
			assert.Equal(t, tc.edits.Empty(), len(operations) == 0 && tc.edits.Provenance == nil)

			patched, err := apirule.Apply(raw, operations)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(exact(t, toJSON(t, tc.want)), exact(t, patched)))
			before := apirule.Parse(decode(t, raw), "shop")
			assert.Equal(t, apirule.Parse(decode(t, patched), "shop"), tc.edits.On(before), "the view without JSON")
			assert.Equal(t, apirule.Parse(decode(t, raw), "shop"), before, "the view before stays")
		})
	}
}

func TestEditsEmpty(t *testing.T) {
	text := ""
	assert.True(t, apirule.Edits{}.Empty())
	assert.False(t, apirule.Edits{Provenance: &text}.Empty())
	assert.False(t, apirule.Edits{Rules: []apirule.Edit{{}}}.Empty())
}

func TestApplyRefuses(t *testing.T) {
	cases := map[string]struct {
		object     string
		operations []apirule.Operation
		want       string
	}{
		"an object that is not JSON": {`{`, []apirule.Operation{{Op: "add", Path: "/a", Value: 1}}, "applying the JSON Patch: "},
		"a path that is not there":   {`{}`, []apirule.Operation{{Op: "remove", Path: "/a/b"}}, "applying the JSON Patch: "},
		"a value that is not JSON":   {`{}`, []apirule.Operation{{Op: "add", Path: "/a", Value: func() {}}}, "encoding the JSON Patch: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := apirule.Apply([]byte(tc.object), tc.operations)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// seeds are APIRules and what only looks like one, for fuzzing.
func seeds() []string {
	return []string{
		`null`, `{}`, `{"metadata":null,"spec":null}`, `{"spec":{"rules":null}}`, `{"spec":{"rules":[]}}`, `{"spec":{"rules":{"0":{}}}}`,
		`{"spec":{"rules":[{},{"noAuth":true},{"noAuth":false},{"jwt":{"a":12345678901234567}},{"extAuth":{}},{"extAuth":{"authorizers":["a"]}}]}}`,
		`{"metadata":{"name":"a","annotations":{"extauth-guard.io/inject":"true","a":"b"}},"spec":{"service":{"name":"s","port":80},"rules":[{"path":"/a","methods":["GET"]},{"service":{"name":"t","namespace":"u"},"noAuth":null,"extAuth":null}]}}`,
		`{"metadata":{"annotations":"text"},"spec":{"rules":[{}]}}`, `{"metadata":"text","spec":{"rules":[{}]}}`, `{"metadata":[],"spec":{"rules":[{}]}}`,
		`{"spec":{"rules":[null,[],"x",7,{"noAuth":"x"},{"noAuth":true,"jwt":{}},{"extAuth":{"authorizers":null,"restrictions":{"b":1}}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/injected":7}},"spec":{"rules":[{"jwt":{},"unknown":{"<&>":1.5e300}}]}}`,
		`{"spec":{"rules":[{"extAuth":{"authorizers":["a"],"authorizers":[]}}],"rules":[{"jwt":{},"jwt":{"b":[9007199254740993]}}]}}`,
	}
}

// FuzzJSONPatch edits every rule that may be edited, and holds the patch to its
// promises: it applies, it does what it says, and nothing else changes, down to
// the last digit.
func FuzzJSONPatch(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(seed), "a", "[]")
		f.Add([]byte(seed), "é<&>\x00", "")
	}
	f.Fuzz(func(t *testing.T, raw []byte, name, record string) {
		var object map[string]any
		if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &object) != nil || object == nil {
			t.Skip("not an object")
		}
		before := apirule.Parse(object, "shop")
		edits := apirule.Edits{Provenance: &record}
		for _, rule := range before.Rules {
			if rule.Strategy != apirule.Malformed {
				edits.Rules = append(edits.Rules, apirule.Edit{Rule: rule.Index, Replaces: rule.Strategy, Authorizers: []string{name}})
			}
		}
		patched, err := apirule.Apply(raw, apirule.JSONPatch(before, edits))
		require.NoError(t, err)
		after := apirule.Parse(decode(t, patched), "shop")
		if utf8.ValidString(record) && utf8.ValidString(name) { // JSON has no other text
			require.Equal(t, after, edits.On(before))
		}
		require.Len(t, after.Rules, len(before.Rules))
		for i, rule := range after.Rules {
			if before.Rules[i].Strategy == apirule.Malformed {
				require.Equal(t, before.Rules[i], rule)
				continue
			}
			require.Equal(t, apirule.ExtAuth, rule.Strategy)
			require.Len(t, rule.Authorizers, 1)
		}
		_, recorded := after.Annotations[annotation.Injected]
		require.Equal(t, record != "", recorded)
		require.Empty(t, cmp.Diff(unnamed(exact(t, raw), before), unnamed(exact(t, patched), before)))
	})
}

// unnamed is a document without the paths that an edit of rules may change. A
// jwt is kept under one name, wherever it is.
func unnamed(document map[string]any, before apirule.View) map[string]any {
	dropRecord(document)
	spec, _ := document["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	for _, rule := range before.Rules {
		object, _ := rules[rule.Index].(map[string]any)
		switch extAuth, _ := object["extAuth"].(map[string]any); rule.Strategy {
		case apirule.Open:
			delete(object, "extAuth")
		case apirule.ExtAuth:
			delete(extAuth, "authorizers")
		case apirule.NoAuth:
			delete(object, "extAuth")
			delete(object, "noAuth")
		case apirule.JWT:
			object["the jwt"] = object["jwt"]
			if extAuth != nil {
				object["the jwt"] = extAuth["restrictions"]
			}
			delete(object, "extAuth")
			delete(object, "jwt")
		case apirule.Malformed:
		}
	}
	return document
}

func dropRecord(document map[string]any) {
	metadata, ok := document["metadata"].(map[string]any)
	if !ok {
		delete(document, "metadata")
		return
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	delete(annotations, annotation.Injected)
	if !ok || len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(document, "metadata")
	}
}

// Large objects are the business of the API server's limits; ours is not to do
// more than one pass.
func TestManyRules(t *testing.T) {
	rules := make([]any, 10_000)
	for i := range rules {
		rules[i] = map[string]any{"path": fmt.Sprintf("/%d", i)}
	}
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "spec": map[string]any{"rules": rules}})
	require.NoError(t, err)
	view := apirule.Parse(decode(t, raw), "shop")
	edits := apirule.Edits{}
	for i := range view.Rules {
		edits.Rules = append(edits.Rules, apirule.Edit{Rule: i, Authorizers: []string{"a"}})
	}
	patched, err := apirule.Apply(raw, apirule.JSONPatch(view, edits))
	require.NoError(t, err)
	for _, rule := range apirule.Parse(decode(t, patched), "shop").Rules {
		require.Equal(t, []string{"a"}, rule.Authorizers)
	}
}
