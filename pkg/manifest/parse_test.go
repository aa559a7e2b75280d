// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func split(t *testing.T, text string) []manifest.Document {
	t.Helper()
	var all []manifest.Document
	for document, err := range manifest.Split(strings.NewReader(text)) {
		require.NoError(t, err)
		all = append(all, document)
	}
	return all
}

func TestSplit(t *testing.T) {
	cases := map[string]struct {
		text      string
		wantLines []int
	}{
		"nothing":               {"", nil},
		"one without separator": {"a: 1\n", []int{1}},
		"a comment and a directive belong to what follows": {"# licence\n%YAML 1.1\n---\na: 1\n---\nb: 2\n", []int{1, 5}},
		"helm's empty documents are documents":             {"---\n# Source: x\n---\na: 1\n", []int{1, 3}},
		"an end marker ends":                               {"a: 1\n...\nb: 2\n", []int{1, 3}},
		"a separator with content":                         {"--- {a: 1}\n--- # two\nb: 2", []int{1, 2}},
		"a line that only begins like a separator":         {"a: |\n  x\n----BEGIN\n", []int{1}},
		"JSON objects one after the other":                 {"{\"a\":\n \"}\\\"\"}\n{\"b\": 2}{\"c\": 3}\n", []int{1, 3, 3}},
		"a template is cut off and does not matter":        {"{{ if .x }}\na: 1\n{{ end }}\n", []int{1, 2}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var lines []int
			var text strings.Builder
			for _, document := range split(t, tc.text) {
				lines = append(lines, document.Line)
				text.Write(document.Text)
			}
			assert.Equal(t, tc.wantLines, lines)
			assert.Equal(t, tc.text, text.String(), "the texts make the stream again")
		})
	}
}

// What kubectl sends is decided by sigs.k8s.io/yaml, so the values are compared
// with it and not with what we think YAML is.
func TestValuesAreThoseOfKubectl(t *testing.T) {
	scalars := []string{
		"true", "True", "yes", "No", "on", "OFF", "y", "n", "~", "null", "", "1", "010", "0o17", "0x1F", "1_000", "1.0", "1e3", ".5",
		"2024-01-01", "2024-01-01T00:00:00Z", "\"yes\"", "'1'", "!!str 1", "12345678901234567", "1:30", "=", "a b", "|\n  text\n", "!!binary aGk=",
		"-1", "+1", "9223372036854775807", "18446744073709551615", "0b11", "1.5e-7",
	}
	texts := map[string]string{
		"merge":   "base: &b {v: 1, w: 2}\nnew:\n  <<: *b\n  w: 3\n",
		"merges":  "a: &a {v: 1}\nb: &b {v: 2, w: 2}\nnew: {<<: [*a, *b], z: 1}\n",
		"keys":    "1: a\ntrue: b\n1.5: c\n",
		"aliases": "a: &a [1, 2]\nb: *a\n",
	}
	for _, scalar := range scalars {
		texts["scalar "+scalar] = "a: " + scalar + "\nb: [x]\n"
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			assertAsKubectl(t, text)
		})
	}
}

func assertAsKubectl(t *testing.T, text string) {
	t.Helper()
	raw, wantErr := yaml.YAMLToJSON([]byte(text))
	objects, err := manifest.Document{Text: []byte(text), Line: 1}.Parse()
	if wantErr != nil {
		assert.Error(t, err, "kubectl says %v", wantErr)
		return
	}
	require.NoError(t, err)
	var want any
	require.NoError(t, json.Unmarshal(raw, &want))
	if _, isObject := want.(map[string]any); !isObject {
		assert.Empty(t, objects)
		return
	}
	require.Len(t, objects, 1)
	gotRaw, err := json.Marshal(objects[0].Value)
	require.NoError(t, err)
	var got any
	require.NoError(t, json.Unmarshal(gotRaw, &got))
	assert.Empty(t, cmp.Diff(want, got), "(-kubectl +got)")
}

func TestParseLists(t *testing.T) {
	objects, err := manifest.Document{Line: 10, Text: []byte("kind: List\nitems:\n- kind: A\n  x: 1\n- notAnObject\n- {kind: B}\n")}.Parse()
	require.NoError(t, err)
	require.Len(t, objects, 2)
	assert.Equal(t, "/items/0", objects[0].Pointer)
	assert.Equal(t, "/items/2", objects[1].Pointer)
	line, column := objects[0].Locate("x")
	assert.Equal(t, []int{13, 3}, []int{line, column})
}

func TestLocate(t *testing.T) {
	const text = `metadata:
  annotations:
    example.com/key: a
spec:
  rules:
  - path: /*
    methods: [GET, POST]
  - &second
    path: /b
    extAuth:
      authorizers:
      - one
      - two
  - *second
`
	objects, err := manifest.Document{Line: 101, Text: []byte(text)}.Parse()
	require.NoError(t, err)
	cases := map[string]struct {
		path       string
		wantLine   int
		wantColumn int
	}{
		"a key with dots and a slash":           {"metadata.annotations[example.com/key]", 103, 5},
		"an absent annotation is at its map":    {"metadata.annotations[example.com/other]", 102, 3},
		"an item of a block list":               {"spec.rules[1].extAuth.authorizers[1]", 113, 9},
		"an item of a flow list":                {"spec.rules[0].methods[1]", 107, 20},
		"an absent field is at its parent":      {"spec.rules[0].extAuth.authorizers[0]", 106, 5},
		"an item that is too far":               {"spec.rules[7]", 105, 3},
		"through an alias":                      {"spec.rules[2].path", 109, 5},
		"nothing is at the start of the object": {"", 101, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			line, column := objects[0].Locate(tc.path)
			assert.Equal(t, []int{tc.wantLine, tc.wantColumn}, []int{line, column})
		})
	}
}

func TestSyntaxErrors(t *testing.T) {
	cases := map[string]struct {
		text                 string
		wantLine, wantColumn int
		wantProblem          string
	}{
		"a bad indentation":  {"a: b\n  c: d\n", 6, 4, "mapping values are not allowed"},
		"an open bracket":    {"a: [1,\nb: 2\n", 5, 4, "did not find expected ',' or ']'"},
		"a tab":              {"a:\n\tb: 1\n", 6, 1, "cannot start any token"},
		"a repeated key":     {"a: 1\nb: 2\na: 3\n", 7, 1, `key "a" is there twice`},
		"an unknown anchor":  {"a: *x\n", 5, 4, "unknown anchor"},
		"a template":         {"a: {{ .Values.x }}\n", 5, 5, "a key is not a text"},
		"an alias explosion": {bomb(), 5, 0, "too many values"},
		"an alias in itself": {"a: &a\n  b: *a\n", 6, 6, "stands for what it is in"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.Document{Line: 5, Text: []byte(tc.text)}.Parse()
			var syntax *manifest.SyntaxError
			require.ErrorAs(t, err, &syntax)
			assert.Contains(t, syntax.Problem, tc.wantProblem)
			if tc.wantColumn > 0 {
				assert.Equal(t, []int{tc.wantLine, tc.wantColumn}, []int{syntax.Line, syntax.Column})
			}
		})
	}
}

func bomb() string {
	var text strings.Builder
	text.WriteString("a0: &a0 [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n")
	for i := range 9 {
		fmt.Fprintf(&text, "a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	return text.String()
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: 1\n---\nb: [x\n", "{\"a\": 1}{", "--- |\n x\n...\n", "a: &a\n  <<: *a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var whole strings.Builder
		for document, err := range manifest.Split(strings.NewReader(text)) {
			require.NoError(t, err)
			whole.Write(document.Text)
			objects, err := document.Parse()
			if err != nil {
				assert.ErrorAs(t, err, new(*manifest.SyntaxError))
			}
			for _, object := range objects {
				line, _ := object.Locate("metadata.annotations[a].b[0]")
				assert.GreaterOrEqual(t, line, document.Line)
			}
		}
		assert.Equal(t, text, whole.String())
	})
}

// Kyma's documentation is what users copy from.
func TestCorpusIsReadAsKubectlReadsIt(t *testing.T) {
	for _, file := range corpus(t) {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, document := range split(t, string(raw)) {
			t.Run(filepath.Base(file), func(t *testing.T) {
				if json, err := yaml.YAMLToJSON(document.Text); err == nil && !strings.Contains(string(json), `"items"`) {
					assertAsKubectl(t, string(document.Text))
				}
			})
		}
	}
}

func corpus(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "corpus"), "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
