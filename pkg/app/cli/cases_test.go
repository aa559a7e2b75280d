// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// said is what a command printed.
type said struct {
	code     int
	out, err string
}

// TestCasesOfOthers runs the commands on inputs that once went wrong, and holds
// them to what the first lines of each case say.
func TestCasesOfOthers(t *testing.T) {
	folder := checkout.Shared(t, "cases")
	cases := map[string]func(t *testing.T, file string){
		"bool-annotation.yaml":                  boolAnnotation,
		"bootstrap-secret-in-extraenv.sh":       nil,
		"ing-extensions-v1beta1.yaml":           migrates("name: longhorn-frontend", "port: 80"),
		"ing-iprange-lost.yaml":                 refuses("this restricted access and is lost: source addresses", "client certificates", "a snippet", "--accept-more-open"),
		"ing-named-port-default-namespace.yaml": migrates("port: 3000"),
		"ing-same-host-twice.yaml":              sameHostTwice,
		"ing-use-regex-plain-path.yaml":         migrates("path: /*\n", "path: /api\n", "path: /api/{**}"),
		"inject-comment-lost.yaml":              commentStays,
		"inject-list-slow.sh":                   nil,
		"json-surrogate-escape.json":            surrogates,
		"lint-raw-escapes.yaml":                 rawEscapes,
		"migrate-default-cors.yaml":             defaultCORS,
		"migrate-mutator-template.yaml":         mutatorTemplate,
		"migrate-note-injection.yaml":           oneObject,
		"migrate-note-path-newline.yaml":        oneObject,
		"migrate-regex-rule-opens.yaml":         regexRule,
		"migrate-unauthorized-rule-opens.yaml":  refuses("would be open to everybody"),
		"migrate-v1alpha1.yaml":                 notServed,
		"migrate-v2-view-of-v1beta1.yaml":       migrates("- orders.example.com", "path: /api/{**}"),
	}
	elsewhere := map[string]string{
		"bootstrap-secret-in-extraenv.sh": "a case of the bootstrap job; see the tests of package config",
		"inject-list-slow.sh":             "a case of cost; see TestInjectOfAListIsLinear and TestInjectStops",
	}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		t.Run(entry.Name(), func(t *testing.T) {
			hold, known := cases[entry.Name()]
			require.True(t, known, "a case that no test knows")
			if hold == nil {
				t.Skip(elsewhere[entry.Name()])
			}
			hold(t, filepath.Join(folder, entry.Name()))
		})
	}
}

func of(t *testing.T, args ...string) said {
	t.Helper()
	code, out, err := run(t, "", args...)
	return said{code, out, err}
}

func migrates(parts ...string) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		got := of(t, "migrate", file)
		require.Equal(t, 0, got.code, got.err)
		for _, part := range parts {
			assert.Contains(t, got.out, part)
		}
	}
}

func refuses(parts ...string) func(*testing.T, string) {
	return func(t *testing.T, file string) {
		got := of(t, "migrate", file)
		assert.Equal(t, 1, got.code)
		assert.Empty(t, got.out)
		for _, part := range parts {
			assert.Contains(t, got.err, part)
		}
	}
}

// documents reads what a command printed, as a YAML parser does.
func documents(t *testing.T, text string) []map[string]any {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var all []map[string]any
	for {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		var one map[string]any
		require.NoError(t, yaml.UnmarshalStrict(raw, &one), text)
		if one != nil {
			all = append(all, one)
		}
	}
}

func oneObject(t *testing.T, file string) {
	got := of(t, "migrate", file)
	require.Equal(t, 0, got.code, got.err)
	all := documents(t, got.out)
	require.Len(t, all, 1)
	assert.Equal(t, "APIRule", all[0]["kind"])
	assert.Len(t, all[0], 4, "apiVersion, kind, metadata and spec, and nothing else")
	assert.NotContains(t, got.out, "\r")
}

func sameHostTwice(t *testing.T, file string) {
	got := of(t, "migrate", file)
	require.Equal(t, 0, got.code, got.err)
	all := documents(t, got.out)
	require.Len(t, all, 1, "one host, one APIRule")
	for _, path := range []string{"/oauth2/{**}", "/hooks/{**}", "/api/{**}", "/*"} {
		assert.Contains(t, got.out, "path: "+path+"\n")
	}
}

func defaultCORS(t *testing.T, file string) {
	got := of(t, "migrate", file)
	assert.Contains(t, got.err, "the default CORS policy of v1beta1 is gone")
	assert.NotEqual(t, 0, of(t, "migrate", "--strict", file).code)
}

func mutatorTemplate(t *testing.T, file string) {
	got := of(t, "migrate", file)
	require.Equal(t, 0, got.code, got.err)
	assert.Contains(t, got.err, "was filled by Oathkeeper")
	raw, err := yaml.Marshal(documents(t, got.out))
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "{{")
	assert.Contains(t, string(raw), "X-Static: one")
}

func regexRule(t *testing.T, file string) {
	got := of(t, "migrate", file)
	require.Equal(t, 0, got.code, got.err)
	admin, open := strings.Index(got.out, "path: /admin/{**}"), strings.Index(got.out, "path: /*")
	internal := strings.Index(got.out, "path: /internal/{**}")
	assert.True(t, 0 < admin && admin < open && 0 < internal && internal < open, "protected rules stay in front:\n%s", got.out)
}

func notServed(t *testing.T, file string) {
	got := of(t, "lint", file)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.out, "VersionNotServed")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	asked := write(t, "asked.yaml", strings.Replace(string(raw), "namespace: shop", `namespace: shop, annotations: {extauth-guard.io/inject: "true"}`, 1))
	injected := of(t, "inject", asked)
	assert.NotContains(t, injected.out, "authorizers:")
	assert.NotContains(t, of(t, "report", asked, "-o", "json").out, `"protection": "protected"`)
}

func boolAnnotation(t *testing.T, file string) {
	got := of(t, "lint", file)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.out, "InvalidAnnotation")
	assert.Contains(t, got.out, "quote it")
	injected := of(t, "inject", file)
	assert.Equal(t, 1, injected.code)
	assert.Contains(t, injected.err, "InvalidAnnotation")
	assert.NotContains(t, injected.err, "NotRequested")
}

func commentStays(t *testing.T, file string) {
	got := of(t, "inject", file)
	require.Equal(t, 0, got.code, got.err)
	assert.Contains(t, got.out, "extAuth:   # fill me\n        authorizers:")
	assert.Contains(t, got.out, "  -   {path: /f, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}} # flow")
}

func surrogates(t *testing.T, file string) {
	assert.Equal(t, 0, of(t, "lint", file).code)
	got := of(t, "inject", file)
	require.Equal(t, 0, got.code, got.err)
	assert.Contains(t, got.out, `\ud83d\ude80 launch`)
	assert.Contains(t, got.out, `"extAuth": {"authorizers": ["oauth2-proxy"]}`)
}

func rawEscapes(t *testing.T, file string) {
	for _, args := range [][]string{
		{"lint", file},
		{"lint", file, "--authorizers", "x", "--color", "always"},
		{"report", file},
		{"inject", file},
	} {
		got := of(t, args...)
		text := got.out + got.err
		if args[0] == "inject" {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.True(t, bytes.HasPrefix(raw, []byte(got.out)), "the document is as it was")
			text = got.err
		}
		for _, colour := range []string{"\x1b[1;31m", "\x1b[1;33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"} {
			if len(args) > 4 {
				text = strings.ReplaceAll(text, colour, "")
			}
		}
		for line := range strings.SplitSeq(text, "\n") {
			assert.Equal(t, quote.Line(line), line, "%v", args)
			assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "::"), "%v: %s", args, line)
		}
	}
}
