// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
)

const shop = `# Ours.
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {extauth-guard.io/inject: "true"}}
---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: cart # quick
  namespace: shop
spec:
  rules:
  - path: /status
    methods: [GET]
    noAuth: true

  # Everything else.
  - path: /*
    methods: [GET]
---
kind: ConfigMap
`

const shopInjected = `# Ours.
apiVersion: v1
kind: Namespace
metadata: {name: shop, annotations: {extauth-guard.io/inject: "true"}}
---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: cart # quick
  namespace: shop
  annotations:
    extauth-guard.io/injected: '[{"rule":1,"authorizers":["oauth2-proxy"],"from":"Namespace"}]'
spec:
  rules:
  - path: /status
    methods: [GET]
    noAuth: true

  # Everything else.
  - path: /*
    methods: [GET]
    extAuth:
      authorizers:
      - oauth2-proxy
---
kind: ConfigMap
`

func TestInjectPrintsWhatTheWebhookStores(t *testing.T) {
	code, stdout, stderr := run(t, shop, "inject", "-")
	assert.Equal(t, 0, code)
	assert.Equal(t, shopInjected, stdout)
	assert.Equal(t, `stdin:13: APIRule shop/cart rule 0 (/status): left alone, LeftOpen: it says "noAuth: true", which nobody allowed to replace
stdin:18: APIRule shop/cart rule 1 (/*): injected oauth2-proxy, asked by Namespace
1 injected, 1 left alone; APIRules: 1 Open
`, stderr)

	code, again, _ := run(t, stdout, "inject", "-", "-q")
	assert.Equal(t, 0, code)
	assert.Equal(t, stdout, again, "injecting twice changes nothing")
}

func TestInjectDiff(t *testing.T) {
	code, stdout, _ := run(t, shop, "inject", "-", "--diff")
	assert.Equal(t, 0, code)
	assert.Equal(t, `--- a/stdin
+++ b/stdin
@@ -8,6 +8,8 @@
 metadata:
   name: cart # quick
   namespace: shop
+  annotations:
+    extauth-guard.io/injected: '[{"rule":1,"authorizers":["oauth2-proxy"],"from":"Namespace"}]'
 spec:
   rules:
   - path: /status
@@ -17,5 +19,8 @@
   # Everything else.
   - path: /*
     methods: [GET]
+    extAuth:
+      authorizers:
+      - oauth2-proxy
 ---
 kind: ConfigMap
`, stdout)
}

// What --diff prints is a patch to others too.
func TestInjectDiffApplies(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	for name, text := range map[string]string{"as it is": shop, "without a last line end": strings.TrimSuffix(shop, "\n"), "in braces, at the end": `{"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule", "metadata": {"name": "a", "annotations": {"extauth-guard.io/inject": "true"}}, "spec": {"rules": [{"path": "/"}]}}`} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "shop.yaml")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, whole, _ := run(t, text, "inject", "-", "-q")
			t.Chdir(folder)
			code, diff, stderr := run(t, "", "inject", "shop.yaml", "--diff", "-q")
			require.Equal(t, 0, code, stderr)
			apply := exec.CommandContext(t.Context(), "git", "apply", "-")
			apply.Stdin = strings.NewReader(diff)
			out, err := apply.CombinedOutput()
			require.NoError(t, err, "%s\n%s", out, diff)
			patched, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, whole, string(patched))
		})
	}
}

func TestInjectInPlace(t *testing.T) {
	path := write(t, "shop.yaml", shop)
	require.NoError(t, os.Chmod(path, 0o640))
	link := filepath.Join(t.TempDir(), "link.yaml")
	require.NoError(t, os.Symlink(path, link))

	code, stdout, _ := run(t, "", "inject", link, "--in-place")
	assert.Equal(t, 0, code)
	assert.Empty(t, stdout)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, shopInjected, string(got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no temporary file stays")

	code, _, stderr := run(t, shop, "inject", "-", "--in-place")
	assert.NotEqual(t, 0, code)
	assert.Contains(t, stderr, "only a file can be changed in place")
}

func TestInjectSeparatesFilesAndRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("a: 1"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte("b: 2\n"), 0o600))
	code, stdout, _ := run(t, "", "inject", dir, "-q")
	assert.Equal(t, 0, code)
	assert.Equal(t, "a: 1\n---\nb: 2\n", stdout)
	code, stdout, _ = run(t, "a: 1\n---\nb: 2", "inject", "-", "-q")
	assert.Equal(t, 0, code)
	assert.Equal(t, "a: 1\n---\nb: 2", stdout, "a last line without end stays one")

	bad := "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a, annotations: {extauth-guard.io/inject: perhaps}}\nspec: {rules: [{path: /}]}\n"
	code, stdout, stderr := run(t, bad, "inject", "-")
	assert.Equal(t, 1, code)
	assert.Equal(t, bad, stdout)
	assert.Contains(t, stderr, "stdin:3: deny InvalidAnnotation: metadata.annotations[extauth-guard.io/inject]")

	code, stdout, _ = run(t, "a: [\n", "inject", "-")
	assert.Equal(t, 2, code)
	assert.Equal(t, "a: [\n", stdout)
}

// list is what kubectl prints of n APIRules.
func list(n int) string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for i := range n {
		fmt.Fprintf(&text, `- apiVersion: gateway.kyma-project.io/v2
  kind: APIRule
  metadata:
    name: r%d
    namespace: shop
    annotations:
      extauth-guard.io/inject: "true"
  spec:
    hosts: [r%d.example.com]
    gateway: kyma-system/kyma-gateway
    service: {name: s%d, port: 80}
    rules:
    - path: /*
      methods: [GET]
`, i, i, i)
	}
	return text.String()
}

func TestInjectOfAListIsLinear(t *testing.T) {
	cost := func(n int) float64 {
		text := list(n)
		return float64(testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				var out, errs bytes.Buffer
				require.NoError(b, cli.Run(b.Context(), []string{"inject", "-"}, cli.Streams{In: strings.NewReader(text), Out: &out, Err: &errs}))
			}
		}).AllocedBytesPerOp())
	}
	few, many := cost(100), cost(400)
	assert.LessOrEqual(t, many/few, 5.0, "bytes of 400 items %.0f, of 100 items %.0f", many, few)
}

// after is a context that ends when it was asked a number of times.
type after struct {
	context.Context
	asked, limit int
}

func (a *after) Err() error {
	if a.asked++; a.asked > a.limit {
		return context.Canceled
	}
	return nil
}

func TestInjectStops(t *testing.T) {
	asked := 0
	for _, limit := range []int{0, 5, 50, 150, 1 << 30} {
		ctx := &after{Context: t.Context(), limit: limit}
		var out, errs bytes.Buffer
		err := cli.Run(ctx, []string{"inject", "-", "-q"}, cli.Streams{In: strings.NewReader(list(100)), Out: &out, Err: &errs})
		if limit < 1<<30 {
			require.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, out.String(), "half a document is none")
		} else {
			require.NoError(t, err)
			asked = ctx.asked
		}
	}
	assert.Greater(t, asked, 200, "every object of the List asks whether to go on")
}
