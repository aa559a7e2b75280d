// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"cmp"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
)

// TestOurCRDsAreKymasButForTheWords compares whole schemas, so that also a field
// that no question of TestCRDs is about is known, typed and limited the same.
func TestOurCRDsAreKymasButForTheWords(t *testing.T) {
	cases := map[string]struct {
		ours, kymas string
		// open are the fields of the spec that ours leaves open.
		open []string
	}{
		"APIRule": {
			ours:  "pkg/crd/kyma/apirules.gateway.kyma-project.io.yaml",
			kymas: "kyma-crds/gateway.kyma-project.io_apirules.yaml",
		},
		"Istio": {
			ours:  "pkg/crd/kyma/istios.operator.kyma-project.io.yaml",
			kymas: "kyma-crds/operator.kyma-project.io_istios.yaml",
			open:  []string{"components", "experimental"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kymas := shape(t, checkout.Shared(t, tc.kymas), tc.open)
			ours := shape(t, checkout.Path(t, tc.ours), tc.open)
			assert.Empty(t, gocmp.Diff(kymas, ours), "(-Kyma's +ours)")
		})
	}
}

// shape reads the spec of a CRD without descriptions, without the named fields of
// the spec it describes, and with its versions by name.
func shape(t *testing.T, path string, without []string) any {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	spec := object(t, string(text)).Object["spec"].(map[string]any)
	versions := spec["versions"].([]any)
	slices.SortFunc(versions, func(a, b any) int {
		return cmp.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})
	for _, version := range versions {
		for _, field := range without {
			unstructured.RemoveNestedField(version.(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties", field)
		}
	}
	return withoutDescriptions(spec)
}

// withoutDescriptions leaves out the texts called description, and leaves in the
// properties called so, which are maps.
func withoutDescriptions(node any) any {
	switch node := node.(type) {
	case map[string]any:
		rest := make(map[string]any, len(node))
		for key, value := range node {
			if _, isText := value.(string); key == "description" && isText {
				continue
			}
			rest[key] = withoutDescriptions(value)
		}
		return rest
	case []any:
		rest := make([]any, 0, len(node))
		for _, value := range node {
			rest = append(rest, withoutDescriptions(value))
		}
		return rest
	default:
		return node
	}
}

// TestOptionalCRDsAreServed starts with the CRDs that only some clusters have.
func TestOptionalCRDsAreServed(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	require.NoError(t, plane.InstallCRDs(checkout.Path(t, "test/testdata/crds/optional")))
	c := newCluster(t, plane.Config())

	objects := map[string]string{
		"authorizationpolicies": `{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}, spec: {action: CUSTOM, provider: {name: p}, rules: [{to: [{operation: {paths: [/]}}]}]}}`,
		"virtualservices":       `{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {name: a}, spec: {hosts: [h], gateways: [kyma-system/kyma-gateway]}}`,
		"gateways":              `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: a}, spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}]}}`,
		"policyreports":         `{apiVersion: wgpolicyk8s.io/v1alpha2, kind: PolicyReport, metadata: {name: a}, scope: {kind: APIRule, name: r}, summary: {fail: 1}, results: [{policy: p, rule: r, result: fail, severity: high, message: m, source: extauth-guard, timestamp: {seconds: 1, nanos: 0}, resources: [{kind: APIRule, name: r}], properties: {a: b}}]}`,
	}
	for resource, text := range objects {
		t.Run(resource, func(t *testing.T) {
			o := object(t, text)
			assert.Empty(t, c.verdict(t, o.GroupVersionKind().GroupVersion().WithResource(resource), o))
		})
	}
	t.Run("a result of a report is one of five", func(t *testing.T) {
		o := object(t, `{apiVersion: wgpolicyk8s.io/v1alpha2, kind: PolicyReport, metadata: {name: a}, results: [{policy: p, result: maybe}]}`)
		assert.Equal(t, `results[0].result: Unsupported value: "maybe": supported values: "pass", "fail", "warn", "error", "skip"`,
			c.verdict(t, o.GroupVersionKind().GroupVersion().WithResource("policyreports"), o))
	})
}
