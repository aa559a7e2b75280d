// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree writes files into a folder, and goes there.
func tree(t *testing.T, files map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	t.Chdir(folder)
}

const (
	misspelt = `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: a, namespace: shop, annotations: {extauth-guard.io/injekt: "true"}}, spec: {hosts: [a.example.com], gateway: k/g, service: {name: a, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}
`
	leftOpen = `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: b, namespace: shop, annotations: {extauth-guard.io/inject: "true"}}, spec: {hosts: [b.example.com], gateway: k/g, service: {name: b, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}
`
)

func TestLintChoices(t *testing.T) {
	cases := map[string]struct {
		files              map[string]string
		args               []string
		code               int
		out, err, notInOut string
	}{
		"a file is left out":               {map[string]string{"a.yaml": misspelt, "b.yaml": protected}, []string{".", "--exclude", "a.yaml"}, 0, "", "checked 1 APIRule in 1 file: no errors", ""},
		"a folder is left out":             {map[string]string{"x/templates/a.yaml": misspelt, "b.yaml": protected}, []string{".", "--exclude", "templates"}, 0, "", "checked 1 APIRule", ""},
		"a pattern over folders":           {map[string]string{"x/y/a.yaml": misspelt, "b.yaml": protected}, []string{".", "--exclude", "**/y/*"}, 0, "", "checked 1 APIRule", ""},
		"a pattern that is none":           {map[string]string{"a.yaml": misspelt}, []string{".", "--exclude", "[a"}, 2, "", "is no pattern of paths", ""},
		"everything is left out":           {map[string]string{"a.yaml": misspelt}, []string{".", "--exclude", "*.yaml"}, 0, "", "nothing to check", ""},
		"everything is left out, and told": {map[string]string{"a.yaml": misspelt}, []string{".", "--exclude", "*.yaml", "--fail-on-empty"}, 1, "", "nothing to check", ""},
		"a code is ignored":                {map[string]string{"a.yaml": misspelt}, []string{".", "--ignore", "InvalidAnnotation"}, 0, "", "no errors, 1 ignored", ""},
		"a code that there is not":         {map[string]string{"a.yaml": misspelt}, []string{".", "--ignore", "InvalidAnotation"}, 2, "", `did you mean "InvalidAnnotation"?`, ""},
		"a warning is no failure":          {map[string]string{"b.yaml": leftOpen}, []string{"."}, 0, "RuleLeftOpen", "", ""},
		"a warning is a failure":           {map[string]string{"b.yaml": leftOpen}, []string{".", "--fail-on", "warn"}, 1, "RuleLeftOpen", "", ""},
		"an unknown severity":              {map[string]string{"b.yaml": leftOpen}, []string{".", "--fail-on", "error"}, 2, "", "deny or warn", ""},
		"the file of the repository":       {map[string]string{"a.yaml": misspelt, "b.yaml": leftOpen, ".extauth-lint.yaml": "exclude: [a.yaml]\nfailOn: warn\n"}, []string{"."}, 1, "RuleLeftOpen", "", "InvalidAnnotation"},
		"a flag wins":                      {map[string]string{"b.yaml": leftOpen, ".extauth-lint.yaml": "failOn: warn\n"}, []string{".", "--fail-on", "deny"}, 0, "RuleLeftOpen", "", ""},
		"a typo in the file":               {map[string]string{"b.yaml": leftOpen, ".extauth-lint.yaml": "fialOn: warn\n"}, []string{"."}, 2, "", "unknown field", ""},
		"two objects of one host":          {map[string]string{"a.yaml": leftOpen, "c/d.yaml": "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: x}, spec: {hosts: [b.example.com], gateways: [k/g]}}\n", "b.yaml": "{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: z, namespace: shop}, spec: {hosts: [b.example.com], rules: [{path: /*, methods: [GET], noAuth: true}]}}"}, []string{"."}, 0, "b.yaml:1:110: warn HostTaken APIRule shop/z\n  spec.hosts[0]: Invalid value: \"b.example.com\": VirtualService x/v has this host too", "", ""},
		"one object in two files":          {map[string]string{"a.yaml": leftOpen, "b.yaml": leftOpen}, []string{"."}, 0, "", "", "HostTaken"},
		"a prefix that is misspelled":      {map[string]string{"a.yaml": `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: a, annotations: {extauth-gaurd.io/inject: "true"}}, spec: {hosts: [b.example.com], rules: [{path: /*, methods: [GET], noAuth: true}]}}`}, []string{"."}, 1, `did you mean "extauth-guard.io/inject"?`, "", ""},
		"annotation without s":             {map[string]string{"a.yaml": `{apiVersion: v1, kind: Namespace, metadata: {name: a, annotation: {extauth-guard.io/inject: "true"}}}`}, []string{"."}, 1, `did you mean "annotations"?`, "", ""},
		"a label":                          {map[string]string{"a.yaml": `{apiVersion: v1, kind: Service, metadata: {name: a, labels: {extauth-guard.io/inject: "true"}}}`}, []string{"."}, 1, `this is a label`, "", ""},
		"a template that begins a line":    {map[string]string{"a.yaml": "{{- if .Values.on }}\napiVersion: gateway.kyma-project.io/v2\nkind: APIRule\n{{- end }}\n"}, []string{"."}, 2, "is this a template that was not rendered?", "", ""},
		"a patch of kustomize":             {map[string]string{"kustomization.yaml": "patches:\n- path: patches/p.yaml\n", "patches/p.yaml": misspelt, "b.yaml": protected}, []string{"."}, 0, "", "checked 1 APIRule in 2 files, 1 patch of kustomize passed over: no errors", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree(t, tc.files)
			code, out, err := run(t, "", append([]string{"lint", "--authorizers", "oauth2-proxy"}, tc.args...)...)
			assert.Equal(t, tc.code, code, out+err)
			assert.Contains(t, out, tc.out)
			assert.Contains(t, err, tc.err)
			if tc.notInOut != "" {
				assert.NotContains(t, out, tc.notInOut)
			}
		})
	}
}
