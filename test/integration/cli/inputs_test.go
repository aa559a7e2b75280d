// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/action"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// sources are what tools are given: an Istio CR, a Service that asks for
// protection, an APIRule for it, and one with a misspelled name.
func sources() map[string]string {
	return map[string]string{
		"istio.yaml": `apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec: {config: {authorizers: [{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}
`,
		"service.yaml": `apiVersion: v1
kind: Service
metadata:
  name: cart
  annotations: {extauth-guard.io/inject: "true"} # protect
spec: {selector: {app: cart}, ports: [{port: 80}]}
`,
		"cart.yaml": `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: cart}
spec:
  hosts: [cart]
  gateway: kyma-system/kyma-gateway
  service: {name: cart, port: 80}
  rules: [{path: /*, methods: [GET]}]
`,
		"pay.yaml": `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata: {name: pay}
spec:
  hosts: [pay]
  gateway: kyma-system/kyma-gateway
  service: {name: pay, port: 80}
  rules:
  - {path: /*, methods: [GET], extAuth: {authorizers: [ouath2-proxy]}}
`,
	}
}

// helmTemplate prints what helm template would.
func helmTemplate(t *testing.T) string {
	t.Helper()
	chart := &helmchart.Chart{Metadata: &helmchart.Metadata{APIVersion: "v2", Name: "shop", Version: "1.0.0"}}
	for name, text := range sources() {
		chart.Templates = append(chart.Templates, &helmchart.File{Name: "templates/" + name, Data: []byte("{{- /* " + name + " */}}\n" + text)})
	}
	install := action.NewInstall(&action.Configuration{})
	install.ClientOnly, install.DryRun, install.ReleaseName, install.Namespace = true, true, "shop", "shop"
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	release, err := install.Run(chart, nil)
	require.NoError(t, err)
	return release.Manifest
}

// kustomizeBuild prints what kustomize build would.
func kustomizeBuild(t *testing.T) string {
	t.Helper()
	files := filesys.MakeFsInMemory()
	var names []string
	for name, text := range sources() {
		names = append(names, name)
		require.NoError(t, files.WriteFile("/shop/"+name, []byte(text)))
	}
	raw, err := yaml.Marshal(map[string]any{"resources": names, "commonAnnotations": map[string]string{"team": "shop"}})
	require.NoError(t, err)
	require.NoError(t, files.WriteFile("/shop/kustomization.yaml", raw))
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/shop")
	require.NoError(t, err)
	text, err := built.AsYaml()
	require.NoError(t, err)
	return string(text)
}

// asList puts everything into one list, as kubectl get -o json does.
func asList(t *testing.T, indent string) string {
	t.Helper()
	list := map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}}
	var items []any
	for _, name := range []string{"istio.yaml", "service.yaml", "cart.yaml", "pay.yaml"} {
		var item map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(sources()[name]), &item))
		items = append(items, item)
	}
	list["items"] = items
	raw, err := json.MarshalIndent(list, "", indent)
	require.NoError(t, err)
	return string(raw)
}

// asJSONLines puts JSON objects behind each other, as jq -c does.
func asJSONLines(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, source := range sources() {
		raw, err := yaml.YAMLToJSON([]byte(source))
		require.NoError(t, err)
		fmt.Fprintf(&text, "%s\n", raw)
	}
	return text.String()
}

// Whatever prints manifests into standard input, the verdict is the same, and the
// line is that of the misspelled name.
func TestLintReadsWhatToolsPrint(t *testing.T) {
	asYAML, err := yaml.JSONToYAML([]byte(asList(t, " ")))
	require.NoError(t, err)
	for name, text := range map[string]string{
		"helm template":           helmTemplate(t),
		"kustomize build":         kustomizeBuild(t),
		"kubectl get -o json":     asList(t, "    "),
		"a list in one line":      asList(t, ""),
		"kubectl get -o yaml":     string(asYAML),
		"jq -c":                   asJSONLines(t),
		"line ends of Windows":    strings.ReplaceAll(helmTemplate(t), "\n", "\r\n"),
		"a byte order mark first": "\ufeff" + kustomizeBuild(t),
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := stage{}.offline(t, text, "lint", "-", "-n", "shop", "-o", "json")
			assert.Equal(t, 1, code, stderr)
			var printed struct {
				Findings []lint.Finding
				Summary  lint.Summary
			}
			require.NoError(t, json.Unmarshal([]byte(stdout), &printed))
			require.Len(t, printed.Findings, 1, stdout)
			one := printed.Findings[0]
			assert.Equal(t, []string{"AuthorizerNotRegistered", "shop", "pay", "spec.rules[0].extAuth.authorizers[0]"}, []string{one.Code, one.Namespace, one.Name, one.Path})
			assert.Contains(t, strings.Split(text, "\n")[one.Line-1], "ouath2-proxy")
			assert.Equal(t, lint.Summary{Objects: 4, Deny: 1, Verdicts: map[policy.Verdict]int{policy.Unknown: 2}}, printed.Summary, "files do not tell what the mesh has")

			// Only the rule that asks is injected, and nothing else changes.
			code, stdout, stderr = stage{}.offline(t, text, "inject", "-", "-n", "shop")
			assert.Equal(t, 0, code, stderr)
			assert.Contains(t, stderr, "1 injected, 1 left alone")
			before, after := parse(t, text), parse(t, stdout)
			require.Len(t, after, len(before))
			changed := 0
			for i := range before {
				if !assert.ObjectsAreEqual(before[i], after[i]) {
					changed++
					assert.Equal(t, "cart", after[i].GetName())
				}
			}
			assert.Equal(t, 1, changed)
		})
	}
}
