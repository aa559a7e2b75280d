// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

const legacy = `apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata: {name: old, namespace: shop}
spec:
  host: old
  gateway: kyma-gateway.kyma-system
  corsPolicy: {allowMethods: [GET]}
  service: {name: cart, port: 8080}
  rules:
  - path: /.*
    methods: [GET, OPTIONS]
    accessStrategies: [{handler: oauth2_introspection, config: {required_scope: [read]}}]
---
kind: ConfigMap
`

const legacyOpen = `apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata: {name: open, namespace: shop}
spec:
  host: open
  gateway: kyma-gateway.kyma-system
  corsPolicy: {allowMethods: [GET]}
  service: {name: cart, port: 8080}
  rules: [{path: /.*, methods: [GET], accessStrategies: [{handler: no_auth}]}]
`

const legacyRefused = `apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata: {name: refused, namespace: shop}
spec:
  host: refused
  gateway: kyma-gateway.kyma-system
  service: {name: stock, port: 8080}
  rules:
  - {path: /admin/.*, methods: [GET], accessStrategies: [{handler: unauthorized}]}
  - {path: /.*, methods: [GET], accessStrategies: [{handler: noop}]}
`

// What migrate prints, lint accepts and inject completes.
func TestMigrateIsTheBeginningOfAPipeline(t *testing.T) {
	code, stdout, stderr := run(t, legacy, "migrate", "-", "--authorizers", "corp")
	assert.Equal(t, 0, code, stderr)
	_, document, _ := strings.Cut(stdout, "---\n")
	assert.Equal(t, `# spec.rules[0].accessStrategies[0].config.required_scope: scopes read are not checked by an oauth2-proxy; check them in the application, or add extAuth.restrictions with requiredScopes
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  annotations:
    extauth-guard.io/authorizers: corp
  name: old
  namespace: shop
spec:
  corsPolicy:
    allowMethods:
    - GET
  gateway: kyma-system/kyma-gateway
  hosts:
  - old
  rules:
  - methods:
    - GET
    - OPTIONS
    path: /*
  service:
    name: cart
    port: 8080
`, document)
	assert.Contains(t, stderr, "stdin:12: spec.rules[0].accessStrategies[0].config.required_scope: scopes read")
	assert.Contains(t, stdout, "migration-step")

	code, linted, _ := run(t, stdout, "lint", "-", "--authorizers", "corp", "--strict")
	assert.Equal(t, 0, code, linted)
	_, injected, _ := run(t, stdout, "inject", "-")
	assert.Contains(t, injected, "    path: /*\n    extAuth:\n      authorizers:\n      - corp\n")
}

func TestMigrateExitCodes(t *testing.T) {
	const (
		newer   = "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: new, namespace: shop}\nspec: {hosts: [new], rules: [{path: /*, methods: [GET], noAuth: true}]}\n"
		ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: open}\nspec: {rules: [{host: open.example.com}]}\n"
	)
	cases := map[string]struct {
		input    string
		args     []string
		wantCode int
		// wantSays is part of standard error, wantOut says whether something is written.
		wantSays string
		wantOut  bool
	}{
		"migrated":                   {input: legacy, wantOut: true},
		"something was lost":         {input: legacy, args: []string{"--strict"}, wantCode: 1, wantSays: "1 setting was lost", wantOut: true},
		"nothing was lost":           {input: legacyOpen, args: []string{"--strict"}, wantOut: true},
		"not migrated":               {input: legacyRefused, wantCode: 1, wantSays: "nothing was written: 1 object was not migrated"},
		"one of two is not migrated": {input: legacyOpen + "---\n" + legacyRefused, wantCode: 1, wantSays: "Error: 1 object was not migrated", wantOut: true},
		"migrated in part":           {input: legacyRefused, args: []string{"--partial"}, wantOut: true, wantSays: "now the authorizer decides"},
		"v2 already":                 {input: newer, args: []string{"--strict"}, wantSays: "is v2 already; there is nothing to migrate"},
		"v2 already, beside something to migrate": {input: newer + "---\n" + legacyOpen, args: []string{"--strict"}, wantSays: "stdin:1: apiVersion: is v2 already", wantOut: true},
		"an Ingress without auth-url":             {input: ingress, wantCode: 2, wantSays: "there is no nginx.ingress.kubernetes.io/auth-url here"},
		"nothing of any concern":                  {input: "kind: ConfigMap\n", wantCode: 2, wantSays: "nothing to migrate in -: neither APIRules nor Ingresses"},
		"unreadable":                              {input: "a: [", wantCode: 2, wantSays: "reading stdin: line 1"},
		"unreadable in front of what is readable": {input: "a: [\n---\n" + legacyOpen, wantCode: 2, wantSays: "1 document could not be read", wantOut: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, tc.input, append([]string{"migrate", "-"}, tc.args...)...)
			assert.Equal(t, tc.wantCode, code, stderr)
			assert.Contains(t, stderr, tc.wantSays)
			assert.Equal(t, tc.wantOut, stdout != "", stdout)
		})
	}
}

// A directory is migrated although one of its files cannot be read, and what
// stands in several files belongs together.
func TestMigrateDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "a: [", "b.yaml": legacyOpen, "c.yaml": strings.ReplaceAll(legacyOpen, "open", "again"),
		"d.yaml": "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, annotations: {nginx.ingress.kubernetes.io/auth-url: 'http://a.b/c'}}\nspec: {rules: [{host: web.example.com, http: {paths: [{path: /, backend: {service: {name: web, port: {name: http}}}}]}}]}\n",
		"e.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: apps}\nspec: {ports: [{name: http, port: 8123}]}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	code, stdout, stderr := run(t, "", "migrate", dir, "-n", "apps")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "a.yaml: line 1")
	assert.Equal(t, 3, strings.Count(stdout, "kind: APIRule"), stdout)
	assert.Contains(t, stdout, "in front of the same workload as APIRule shop/again: migrate these together, or they answer 403")
	assert.Contains(t, stdout, "port: 8123")
}

// Each case says in its first lines what is expected.
func TestMigrateCases(t *testing.T) {
	cases := map[string]struct {
		args     []string
		wantCode int
		// wantObjects is how many objects are written, has and hasNot parts of them
		// without comments, says parts of what is said.
		wantObjects       int
		has, hasNot, says []string
	}{
		"migrate-default-cors.yaml":                        {wantObjects: 1, says: []string{"the default CORS policy of v1beta1 is gone", "allowOrigins"}},
		"migrate-default-cors.yaml --strict":               {args: []string{"--strict"}, wantCode: 1, wantObjects: 1},
		"migrate-mutator-template.yaml":                    {wantObjects: 1, has: []string{"X-Static: one"}, hasNot: []string{"{{", "cookies"}, says: []string{"headers[X-User]: the template", "cookies[user]: the template", `the mutator "id_token"`}},
		"migrate-note-injection.yaml":                      {wantObjects: 1, hasNot: []string{"ClusterRoleBinding"}, says: []string{`\rapiVersion`}},
		"migrate-note-path-newline.yaml":                   {wantObjects: 1, hasNot: []string{"key"}, says: []string{`spec.odd\nkey: 1\n#: is not carried over`}},
		"migrate-regex-rule-opens.yaml":                    {wantObjects: 1, has: []string{"path: /admin/{**}", "path: /internal/{**}"}},
		"migrate-unauthorized-rule-opens.yaml":             {wantCode: 1, says: []string{"spec.rules[1]: not migrated: GET /admin/ was refused to everybody (spec.rules[0]) and would be open to everybody"}},
		"migrate-unauthorized-rule-opens.yaml --partial":   {args: []string{"--partial"}, wantObjects: 1, has: []string{"    path: /admin/{**}\n  - methods:\n    - GET\n    - POST\n    noAuth: true\n    path: /*"}},
		"migrate-v1alpha1.yaml":                            {wantObjects: 1, has: []string{"- old.example.com", "kyma-system/kyma-gateway"}, hasNot: []string{"host:"}},
		"migrate-v2-view-of-v1beta1.yaml":                  {wantObjects: 1, has: []string{"path: /api/{**}", "extauth-guard.io/inject"}, hasNot: []string{"original-version", "v1beta1-spec", "uid", "resourceVersion", "status"}},
		"ing-extensions-v1beta1.yaml":                      {wantObjects: 1, has: []string{"name: longhorn-frontend\n      port: 80"}},
		"ing-iprange-lost.yaml":                            {wantCode: 1, says: []string{"whitelist-source-range]: this restricted access and is lost: source addresses", "auth-tls-secret]: this restricted access", "server-snippet]: this restricted access", "--accept-more-open"}},
		"ing-iprange-lost.yaml --accept-more-open":         {args: []string{"--accept-more-open"}, wantObjects: 1, says: []string{"whitelist-source-range]: this restricted access and is lost"}},
		"ing-named-port-default-namespace.yaml":            {wantObjects: 1, has: []string{"port: 3000"}},
		"ing-same-host-twice.yaml":                         {wantObjects: 1, has: []string{"- app.example.com", "noAuth: true\n    path: /hooks/{**}", "noAuth: true\n    path: /oauth2/{**}", "    path: /api/{**}\n", "    path: /*\n"}},
		"ing-use-regex-plain-path.yaml":                    {wantObjects: 1, has: []string{"path: /api\n", "path: /api/{**}\n", "path: /*\n"}},
		"ing-use-regex-plain-path.yaml with the strictest": {args: []string{"--strict", "--partial", "--accept-more-open"}, wantObjects: 1},
	}
	tested := map[string]bool{}
	for name, tc := range cases {
		file, _, _ := strings.Cut(name, " ")
		tested[file] = true
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, "", append([]string{"migrate", checkout.Shared(t, filepath.Join("cases", file))}, tc.args...)...)
			assert.Equal(t, tc.wantCode, code, stderr)
			objects, text := onlyAPIRules(t, stdout)
			assert.Equal(t, tc.wantObjects, objects, stdout)
			for _, part := range tc.has {
				assert.Contains(t, text, part)
			}
			for _, part := range tc.hasNot {
				assert.NotContains(t, text, part)
			}
			for _, part := range tc.says {
				assert.Contains(t, stderr, part)
			}
			assert.NotRegexp(t, `[^\P{C}\n]`, stdout+stderr, "no control characters")
		})
	}
	for _, pattern := range []string{"migrate-*", "ing-*"} {
		files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "cases"), pattern))
		require.NoError(t, err)
		for _, file := range files {
			assert.True(t, tested[filepath.Base(file)], "%s is not tested", file)
		}
	}
}

// onlyAPIRules counts the objects of a stream, each of which has to be an APIRule
// v2, and returns the stream without comments.
func onlyAPIRules(t *testing.T, stream string) (count int, text string) {
	t.Helper()
	for document, err := range manifest.Split(strings.NewReader(stream)) {
		require.NoError(t, err)
		objects, err := document.Parse()
		require.NoError(t, err)
		for _, object := range objects {
			count++
			assert.Equal(t, "APIRule", object.Value["kind"])
			assert.Equal(t, "gateway.kyma-project.io/v2", object.Value["apiVersion"])
			assert.ElementsMatch(t, []string{"apiVersion", "kind", "metadata", "spec"}, keys(object.Value))
		}
	}
	var lines []string
	for line := range strings.Lines(stream) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return count, strings.Join(lines, "")
}

func keys(of map[string]any) []string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	return names
}

// Whatever an Ingress or an APIRule says, what is written are the APIRules meant,
// and what is said has no character that a terminal obeys.
func FuzzMigrateWritesNothingButAPIRules(f *testing.F) {
	for _, seed := range []string{
		"x", "a\rkind: Secret", "a\nkind: Secret", "a\u0085kind: Secret", "a\u2028kind: Secret", "a\u2029---\u2029kind: Secret", "\x1b[31m", "\x00", "*x", "&a b", "!!binary x", "'", "\"", "{", "- a", "true", "1", "~", "\ufeff", "http://a.b/c?d=e'f",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		value := map[string]any{"apiVersion": "v1", "kind": "List", "items": []any{
			map[string]any{
				"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
				"metadata": map[string]any{"name": first, "namespace": second, "labels": map[string]any{first: second}, "annotations": map[string]any{
					"nginx.ingress.kubernetes.io/auth-url": "http://a/" + first, "nginx.ingress.kubernetes.io/" + second: first, "nginx.ingress.kubernetes.io/auth-response-headers": second, second: first,
				}},
				"spec": map[string]any{"rules": []any{
					map[string]any{"host": "a.example.com", "http": map[string]any{"paths": []any{map[string]any{"path": "/", "backend": map[string]any{"service": map[string]any{"name": second, "port": map[string]any{"number": 80}}}}}}},
					map[string]any{"host": first, "http": map[string]any{"paths": []any{map[string]any{"path": second, "backend": map[string]any{"service": map[string]any{"name": second, "port": map[string]any{"name": first}}}}}}},
				}},
			},
			map[string]any{
				"apiVersion": "gateway.kyma-project.io/v1beta1", "kind": "APIRule",
				"metadata": map[string]any{"name": first, "namespace": second},
				"spec": map[string]any{"host": "b.example.com", "gateway": second, first: second, "service": map[string]any{"name": first, "port": 80}, "corsPolicy": map[string]any{"maxAge": first}, "rules": []any{
					map[string]any{
						"path": "/.*", "methods": []any{"GET", second}, "accessStrategies": []any{map[string]any{"handler": "oauth2_introspection", "config": map[string]any{"required_scope": []any{first}, second: first}}},
						"mutators": []any{map[string]any{"handler": second}, map[string]any{"handler": "header", "config": map[string]any{"headers": map[string]any{first: second}}}},
					},
				}},
			},
		}}
		for _, args := range [][]string{{"migrate", "-"}, {"migrate", "-", "--partial", "--accept-more-open"}} {
			code, stdout, stderr := run(t, encode(t, value), args...)
			require.Contains(t, []int{0, 1}, code, stderr)
			count, _ := onlyAPIRules(t, stdout)
			require.LessOrEqual(t, count, 3)
			require.Equal(t, strings.Count("\n"+stdout, "\nkind: APIRule\n"), count)
			require.NotRegexp(t, `[^\P{C}\n]`, stderr)
			for line := range strings.Lines(stderr) {
				require.Less(t, len(line), 2000)
			}
		}
	})
}

func encode(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	require.NoError(t, err)
	return string(raw)
}
