// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

const protected = `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: cart
  annotations:
    extauth-guard.io/inject: "true"
spec:
  hosts: [cart.example.com]
  service: {name: cart, port: 8080}
  rules:
  - path: /*
    methods: [GET]
`

const istioCR = `apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec: {config: {authorizers: [{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}
`

// run runs the command as main does.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return exit.Code(err), out.String(), errs.String()
}

// write writes a file into a directory of the test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLintExitCodes(t *testing.T) {
	cr := write(t, "istio.yaml", istioCR)
	nothing := write(t, "nothing.yaml", "a: 1\n")
	cases := map[string]struct {
		stdin      string
		args       []string
		wantCode   int
		wantOut    string
		wantStderr string
	}{
		"all is well":                   {protected + "---\n" + istioCR, []string{"-"}, 0, "", "checked 1 APIRule, 1 Istio CR in 1 file: no errors\n"},
		"registered in a file":          {protected, []string{"-", "--istio-cr", cr}, 0, "", ""},
		"registered by name":            {protected, []string{"-", "--authorizers", "a,oauth2-proxy"}, 0, "", ""},
		"not registered":                {protected, []string{"-", "--authorizers", "oauth2-prox"}, 1, `did you mean "oauth2-prox"?`, ""},
		"not known":                     {protected, []string{"-"}, 0, "not checked: 1 reference to authorizers: no Istio CR was given", ""},
		"not known, strictly":           {protected, []string{"-", "--strict"}, 1, "RegistryUnknown", ""},
		"no manifest at all":            {"a: [", []string{"-"}, 2, "stdin:1:1: deny ManifestUnreadable", ""},
		"no argument":                   {"", nil, 2, "", "requires at least 1 arg"},
		"no such file":                  {"", []string{"/nowhere"}, 2, "", "no such file"},
		"an empty directory":            {"", []string{t.TempDir()}, 0, "", "nothing to check: no APIRule"},
		"no such flag":                  {"", []string{"--nope"}, 2, "", "see \"kubectl extauth lint --help\""},
		"no such format":                {"", []string{"-", "-o", "html"}, 2, "", "known are text, json"},
		"no Istio CR in the file":       {"", []string{"-", "--istio-cr", nothing}, 2, "", "has no Istio CR"},
		"two sources of authorizers":    {"", []string{"-", "--istio-cr", cr, "--authorizers", "a"}, 2, "", "none of the others can be"},
		"a configuration that is wrong": {"", []string{"-", "--config", nothing}, 2, "", "reading --config"},
		"no kubeconfig":                 {"", []string{"-", "--live", "--kubeconfig", "/nowhere"}, 2, "", "reading the kubeconfig"},
		"no such colour":                {"", []string{"-", "--color", "red"}, 2, "", "auto, always or never"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, tc.stdin, append([]string{"lint"}, tc.args...)...)
			assert.Equal(t, tc.wantCode, code, stdout+stderr)
			if tc.wantOut == "" {
				assert.Empty(t, stdout)
			}
			assert.Contains(t, stdout, tc.wantOut)
			assert.Contains(t, stderr, tc.wantStderr)
		})
	}
}

func TestLintUsesTheWebhooksConfiguration(t *testing.T) {
	config := write(t, "config.yaml", "apiVersion: config.extauth-guard.io/v1alpha1\nkind: WebhookConfig\npolicy: {defaultAuthorizers: [corp]}\n")
	code, stdout, stderr := run(t, protected, "lint", "-", "--authorizers", "oauth2-proxy", "--config", config)
	assert.Equal(t, 1, code, stderr)
	assert.Contains(t, stdout, `"corp"`)
}

func TestUnknownCommandIsUsage(t *testing.T) {
	code, _, stderr := run(t, "", "lnt")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "lnt")
}

// Standard input is kept in a file for a while; none of it may stay.
func TestStandardInputLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	run(t, protected, "lint", "-")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}
