// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

// FuzzStandardInput gives any stream to the commands that read one. They end with
// one of the documented exit codes, say the same a second time, print JSON that is
// JSON, and what inject prints is nothing that lint refuses for a missing injection.
func FuzzStandardInput(f *testing.F) {
	for _, seed := range []string{
		"", protected, istioCR + "---\n" + protected, protected + "---\n{", "[]", "--- |\n text\n", "{\"a\": 1}{\"kind\": \"APIRule\"}",
		"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, annotations: {nginx.ingress.kubernetes.io/auth-url: https://x/oauth2/auth}}\nspec: {rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}\n",
		"apiVersion: gateway.kyma-project.io/v1beta1\nkind: APIRule\nmetadata: {name: a}\nspec: {host: a, rules: [{path: /.*, accessStrategies: [{handler: jwt}]}]}\n",
		"kind: List\nitems: [{kind: APIRule, spec: {rules: [null, 1, {extAuth: {authorizers: [x]}}]}}]\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		run := func(in string, args ...string) (int, string) {
			var out, errs bytes.Buffer
			err := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &errs})
			code := exit.Code(err)
			require.Contains(t, []int{exit.Done, exit.Failed, exit.Usage}, code, "%v", err)
			return code, out.String()
		}
		twice := func(args ...string) (int, string) {
			code, out := run(stream, args...)
			again, other := run(stream, args...)
			require.Equal(t, code, again, "%v", args)
			require.Equal(t, out, other, "%v", args)
			return code, out
		}
		twice("lint", "-")
		twice("migrate", "-")
		for _, format := range []string{"json", "sarif"} {
			code, out := twice("lint", "-o", format, "-")
			require.True(t, code == exit.Usage || json.Valid([]byte(out)), "%s: %s", format, out)
		}
		if code, injected := twice("inject", "-"); code == exit.Done {
			_, found := run(injected, "lint", "-")
			require.NotContains(t, found, "[InjectionMissing]")
		}
	})
}
