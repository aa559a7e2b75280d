// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "-update writes it")
	assert.Empty(t, cmp.Diff(string(want), got), "(-golden +got); -update writes it")
}

// explainedWorld is what a cluster would hold: an APIRule with a rule that is
// protected, one that was left open, and one to a Service that is not there.
const explainedWorld = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}, annotations: {extauth-guard.io/inject: "true"}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, annotations: {extauth-guard.io/internal-callers: "batch, web/front"}}
spec: {selector: {app: cart, tier: web}, ports: [{port: 80}]}
---
apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec: {config: {authorizers: [{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80}]}}
---
apiVersion: extauth-guard.io/v1alpha1
kind: ExtAuthPolicy
metadata: {name: everything}
spec: {mode: Warn, require: {allowJWT: true}}
---
apiVersion: extauth-guard.io/v1alpha1
kind: ExtAuthPolicy
metadata: {name: elsewhere}
spec: {mode: Enforce, match: {hosts: ["*.other.example.com"]}, require: {allowJWT: true}}
---
apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  gateway: kyma-system/kyma-gateway
  service: {name: cart, port: 80}
  rules:
  - {path: /*, methods: [GET, POST], extAuth: {authorizers: [oauth2-proxy]}}
  - {path: /status, methods: [GET], noAuth: true}
  - {path: /pay, methods: [POST], service: {name: pay, port: 80}, extAuth: {authorizers: [oauth2-proxy]}}
`

func TestExplainGoldens(t *testing.T) {
	files, err := manifest.Find([]string{manifest.Stdin}, strings.NewReader(explainedWorld))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, files.Close()) })
	world := facts.NewWorld("")
	all := &known{source: world, world: world, settings: policy.DefaultSettings(), namespace: "shop", complete: true, now: noon()}
	require.NoError(t, lint.Linter{Source: world, Settings: all.settings, Now: all.now}.Collect(t.Context(), files.List, world))
	view, exists := world.APIRule(types.NamespacedName{Namespace: "shop", Name: "cart"})
	require.True(t, exists)
	// Collecting keeps of an APIRule what matters to others; a cluster has it whole.
	for _, file := range files.List {
		for document, err := range file.Documents() {
			require.NoError(t, err)
			objects, err := document.Parse()
			require.NoError(t, err)
			if whole, ok := all.linter().Examine(t.Context(), objects[0].Value); ok {
				view = whole.View
			}
		}
	}

	explained := explain(all, all.linter().ExamineStored(t.Context(), view))
	var text bytes.Buffer
	require.NoError(t, explained.print(&text, 0))
	golden(t, "explain.text.golden", text.String())
	raw, err := json.MarshalIndent(explained, "", "  ")
	require.NoError(t, err)
	golden(t, "explain.json.golden", string(raw)+"\n")
	assert.NotContains(t, string(raw), "null", "lists are never null")
	assert.Equal(t, []explainedPolicy{{"everything", policy.Violating}}, explained.Policies)
}
