// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// build does what kustomize build does.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	require.NoError(t, err)
	raw, err := built.AsYaml()
	require.NoError(t, err)
	objects, err := chart.Rendering{Manifests: string(raw)}.Installed()
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	return objects
}

// Every folder of config/ that is for kustomize can be built, and the API server
// takes what comes out of it.
func TestTheAPIServerAcceptsWhatKustomizeBuilds(t *testing.T) {
	c := newCluster(t)
	files, err := filepath.Glob(checkout.Path(t, "config") + "/*/kustomization.yaml")
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, file := range files {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			for _, object := range build(t, folder) {
				if object.GetKind() == "Namespace" {
					continue // it is there
				}
				require.NoError(t, c.create(t.Context(), object, metav1.DryRunAll), "%s %s", object.GetKind(), object.GetName())
			}
		})
	}
}

// For people without Helm the same is installed as for people with it: the
// chart's defaults, but for what only Helm understands.
func TestKustomizeInstallsWhatTheChartDoes(t *testing.T) {
	rendering, err := chart.Render(chart.Options{})
	require.NoError(t, err)
	installed, err := rendering.Installed()
	require.NoError(t, err)
	want, got := byName(installed), byName(build(t, checkout.Path(t, "config/default")))
	namespace, ok := got["Namespace /extauth-guard"]
	require.True(t, ok, "Helm makes the namespace, so kustomize has to")
	assert.Equal(t, "restricted", namespace.(map[string]any)["metadata"].(map[string]any)["labels"].(map[string]any)["pod-security.kubernetes.io/enforce"])
	delete(got, "Namespace /extauth-guard")
	assert.Empty(t, cmp.Diff(want, got), "(-chart +kustomize)")
}

// byName returns objects by kind, namespace and name, without what Helm adds.
func byName(objects []*unstructured.Unstructured) map[string]any {
	all := map[string]any{}
	for _, object := range objects {
		withoutHelm(object.Object)
		if strings.HasPrefix(object.GetKind(), "ValidatingAdmissionPolicy") {
			object.SetNamespace("") // kustomize gives it one, and the API server drops it
		}
		if object.GetKind() == "CustomResourceDefinition" || strings.HasSuffix(object.GetKind(), "WebhookConfiguration") {
			object.SetLabels(nil) // these come from the code, which knows of no component
		}
		all[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object.Object
	}
	return all
}

// withoutHelm takes Helm's labels and annotations away, wherever they are.
func withoutHelm(value any) {
	switch value := value.(type) {
	case map[string]any:
		for _, key := range []string{"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/instance"} {
			delete(value, key)
		}
		for key, each := range value {
			withoutHelm(each)
			if nested, ok := each.(map[string]any); ok && len(nested) == 0 && (key == "annotations" || key == "labels") {
				delete(value, key)
			}
		}
	case []any:
		for _, each := range value {
			withoutHelm(each)
		}
	}
}

// What hack/cluster/e2e applies to a kind cluster is right for the API server too.
func TestTheManifestsOfTheEndToEndSuite(t *testing.T) {
	c := newCluster(t)
	c.namespace(t, "oidc-provider")
	raw, err := os.ReadFile(checkout.Path(t, "hack/cluster/e2e/oidc-provider.yaml"))
	require.NoError(t, err)
	objects, err := chart.Rendering{Manifests: string(raw)}.Installed()
	require.NoError(t, err)
	require.Len(t, objects, 2)
	for _, object := range objects {
		require.NoError(t, c.create(t.Context(), object, metav1.DryRunAll), "%s %s", object.GetKind(), object.GetName())
	}
	raw, err = os.ReadFile(checkout.Path(t, "hack/cluster/e2e/values.yaml"))
	require.NoError(t, err)
	values, err := chart.ReadValues(raw)
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedField(values, "sha256:0000000000000000000000000000000000000000000000000000000000000000", "bootstrap", "config", "proxy", "chart", "digest"))
	rendering, err := chart.Render(chart.Options{Values: values})
	require.NoError(t, err)
	objects, err = rendering.Objects()
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() != "Namespace" {
			require.NoError(t, c.create(t.Context(), object, metav1.DryRunAll), "%s %s", object.GetKind(), object.GetName())
		}
	}
}
