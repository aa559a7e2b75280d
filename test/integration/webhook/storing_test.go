// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const inject = `extauth-guard.io/inject: "true"`

// testStoring is about the ways in which an APIRule is written.
func (s *stage) testStoring(t *testing.T) {
	injected := [][]string{{"oauth2-proxy"}}
	get := func(t *testing.T, namespace, name string) *unstructured.Unstructured {
		t.Helper()
		stored, err := s.apiRules("v2", namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		return stored
	}

	for _, version := range []string{"v2", "v2alpha1"} {
		t.Run("creating as "+version+" injects", func(t *testing.T) {
			namespace := s.namespace(t)
			created, err := s.apiRules(version, namespace).Create(t.Context(),
				object(t, apiRule(version, namespace, "web", inject, open)), metav1.CreateOptions{})
			require.NoError(t, err)
			assert.Equal(t, injected, authorizersOf(t, created))
			assert.JSONEq(t, `[{"rule":0,"authorizers":["oauth2-proxy"],"from":"APIRule"}]`, created.GetAnnotations()["extauth-guard.io/injected"])
		})

		t.Run("updating as "+version+" injects what was added", func(t *testing.T) {
			namespace := s.namespace(t)
			_, err := s.apiRules(version, namespace).Create(t.Context(),
				object(t, apiRule(version, namespace, "web", inject, open)), metav1.CreateOptions{})
			require.NoError(t, err)
			updated, err := s.apiRules(version, namespace).Patch(t.Context(), "web", types.JSONPatchType,
				[]byte(`[{"op":"add","path":"/spec/rules/0","value":{"path":"/new","methods":["POST"]}}]`), metav1.PatchOptions{})
			require.NoError(t, err)
			assert.Equal(t, [][]string{{"oauth2-proxy"}, {"oauth2-proxy"}}, authorizersOf(t, updated))
		})

		t.Run("a misspelled authorizer is refused as "+version, func(t *testing.T) {
			namespace := s.namespace(t)
			_, err := s.apiRules(version, namespace).Create(t.Context(),
				object(t, apiRule(version, namespace, "web", "", extAuth("ouath2-proxy"))), metav1.CreateOptions{})
			require.True(t, apierrors.IsInvalid(err), "%v", err)
			var status *apierrors.StatusError
			require.ErrorAs(t, err, &status)
			require.NotNil(t, status.ErrStatus.Details)
			require.Len(t, status.ErrStatus.Details.Causes, 1)
			assert.Equal(t, "spec.rules[0].extAuth.authorizers[0]", status.ErrStatus.Details.Causes[0].Field)
		})
	}

	t.Run("applying twice changes nothing", func(t *testing.T) {
		for name, args := range map[string][]string{
			"client":       {"apply", "-f", "-"},
			"server":       {"apply", "--server-side", "-f", "-"},
			"server-force": {"apply", "--server-side", "--force-conflicts", "-f", "-"},
		} {
			t.Run(name, func(t *testing.T) {
				manifest := apiRule("v2", s.namespace(t), "web", inject, open)
				namespace := object(t, manifest).GetNamespace()
				s.mustKubectl(t, manifest, args...)
				first := get(t, namespace, "web")
				s.mustKubectl(t, manifest, args...)
				second := get(t, namespace, "web")
				assert.Equal(t, int64(1), second.GetGeneration())
				assert.Equal(t, first.Object["spec"], second.Object["spec"])
				assert.Equal(t, injected, authorizersOf(t, second))
			})
		}
	})

	t.Run("a dry run shows what would be stored and stores nothing", func(t *testing.T) {
		manifest := apiRule("v2", s.namespace(t), "web", inject, open)
		shown := s.mustKubectl(t, manifest, "create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.rules[0].extAuth.authorizers[0]}")
		assert.Equal(t, "oauth2-proxy", strings.TrimSpace(lastLine(shown)))
		_, err := s.apiRules("v2", object(t, manifest).GetNamespace()).Get(t.Context(), "web", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})

	t.Run("kubectl diff of what was applied is empty", func(t *testing.T) {
		for name, args := range map[string][]string{"client": nil, "server": {"--server-side"}} {
			t.Run(name, func(t *testing.T) {
				manifest := apiRule("v2", s.namespace(t), "web", inject, open)
				s.mustKubectl(t, manifest, append([]string{"apply", "-f", "-"}, args...)...)
				assert.Empty(t, s.mustKubectl(t, manifest, append([]string{"diff", "-f", "-"}, args...)...))
			})
		}
	})

	t.Run("what asks may be the namespace, and what says no may be nearer", func(t *testing.T) {
		namespace := s.namespace(t, inject)
		created := s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "web", "", open))
		assert.Equal(t, injected, authorizersOf(t, created))
		_, err := s.apiRules("v2", namespace).Create(t.Context(),
			object(t, apiRule("v2", namespace, "nearer", `extauth-guard.io/inject: "false"`, open)), metav1.CreateOptions{})
		assert.ErrorContains(t, err, oneOf)
	})

	t.Run("a jwt and an open rule are stored as they were written", func(t *testing.T) {
		namespace := s.namespace(t)
		rules := jwt + `, {path: /healthz, methods: [GET], noAuth: true}, {path: /admin, methods: [GET]}`
		manifest := object(t, apiRule("v2", namespace, "web", inject, rules))
		created, err := s.apiRules("v2", namespace).Create(t.Context(), manifest, metav1.CreateOptions{})
		require.NoError(t, err)
		got, _, err := unstructured.NestedSlice(created.Object, "spec", "rules")
		require.NoError(t, err)
		want, _, err := unstructured.NestedSlice(manifest.Object, "spec", "rules")
		require.NoError(t, err)
		want[2].(map[string]any)["extAuth"] = map[string]any{"authorizers": []any{"oauth2-proxy"}}
		assert.Equal(t, want, got)
	})

	t.Run("removing the annotation keeps the protection", func(t *testing.T) {
		namespace := s.namespace(t)
		s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "web", inject, open))
		patched, err := s.apiRules("v2", namespace).Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"extauth-guard.io/inject":null}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		assert.Equal(t, injected, authorizersOf(t, patched))
	})

	t.Run("namespaces of the system are left alone", func(t *testing.T) {
		_, err := s.apiRules("v2", "kyma-system").Create(t.Context(),
			object(t, apiRule("v2", "kyma-system", "web", "", extAuth("nobody"))), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		assert.NoError(t, err)
	})

	t.Run("a spec of the wrong type is refused by the CRD, in its words", func(t *testing.T) {
		namespace := s.namespace(t)
		for name, spec := range map[string]any{
			"spec":  "text",
			"rules": map[string]any{"hosts": []any{"web"}, "rules": "text"},
			"rule":  map[string]any{"hosts": []any{"web"}, "rules": []any{"text"}},
		} {
			broken := object(t, apiRule("v2", namespace, "web", inject, open))
			broken.Object["spec"] = spec
			_, err := s.apiRules("v2", namespace).Create(t.Context(), broken, metav1.CreateOptions{})
			require.True(t, apierrors.IsInvalid(err), "%s: %v", name, err)
			assert.NotContains(t, err.Error(), "admission webhook", name)
		}
	})
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
