// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/crd"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/kymamodule"
)

func TestTheManifestOfTheModule(t *testing.T) {
	release := kymamodule.Release{Version: "1.2.3", Digest: "sha256:" + strings.Repeat("ab", 32)}
	objects, err := kymamodule.Manifest(release)
	require.NoError(t, err)

	var kinds []string
	for _, object := range objects {
		kinds = append(kinds, object.GetKind())
		of := object.GetKind() + " " + object.GetName()
		for key := range object.GetAnnotations() {
			assert.NotContains(t, key, "helm.sh/", "%s: Kyma knows no hooks and no policies of Helm", of)
		}
		for key, value := range object.GetLabels() {
			assert.NotContains(t, strings.ToLower(key+value), "helm", "%s: nothing is managed by Helm", of)
		}
		assert.Equal(t, "extauth-guard", object.GetLabels()["kyma-project.io/module"], of)
	}
	assert.Equal(t, []string{"CustomResourceDefinition", "CustomResourceDefinition", "Namespace"}, kinds[:3], "in the order of the dashboard")
	for _, kind := range kinds[3:] {
		assert.NotContains(t, []string{"CustomResourceDefinition", "Namespace", "Job", "Pod", "CronJob"}, kind, "and nothing that runs once")
	}

	var images []string
	for _, object := range objects {
		each(object.Object, "image", func(image any) { images = append(images, image.(string)) })
	}
	assert.Equal(t, []string{"ghcr.io/extauth-guard/extauth-guard:1.2.3@" + release.Digest}, images)

	// What Helm would install with the same values is in it, and nothing else but the
	// Namespace, which Helm makes by --create-namespace.
	rendering, err := chart.Render(chart.Options{Values: map[string]any{"kyma": map[string]any{
		"dashboard": true, "cli": true, "module": map[string]any{"enabled": true},
	}}})
	require.NoError(t, err)
	installed, err := rendering.Installed()
	require.NoError(t, err)
	assert.ElementsMatch(t, append(named(installed), "Namespace extauth-guard"), named(objects))
}

func TestTheModuleTemplate(t *testing.T) {
	release := kymamodule.Release{Version: "1.2.3"}
	files, err := kymamodule.Files(release)
	require.NoError(t, err)
	again, err := kymamodule.Files(release)
	require.NoError(t, err)
	for name, content := range files {
		assert.True(t, bytes.Equal(content, again[name]), "%s: the same release makes the same bytes", name)
	}
	var template struct {
		APIVersion, Kind string
		Metadata         struct {
			Name                string
			Labels, Annotations map[string]string
		}
		Spec struct {
			ModuleName, Version         string
			Mandatory, RequiresDowntime bool
			Info                        struct {
				Repository, Documentation string
				Icons                     []struct{ Name, Link string }
			}
			AssociatedResources []struct{ Group, Version, Kind string }
			Data                map[string]any
			Manager             struct{ Group, Version, Kind, Namespace, Name string }
			Resources           []struct{ Name, Link string }
			Descriptor          map[string]any
		}
	}
	require.NoError(t, yaml.UnmarshalStrict(files[kymamodule.TemplateFile], &template))
	assert.Equal(t, "operator.kyma-project.io/v1beta2", template.APIVersion)
	assert.Equal(t, "ModuleTemplate", template.Kind)
	assert.Equal(t, "extauth-guard-1.2.3", template.Metadata.Name)
	assert.Equal(t, "extauth-guard", template.Metadata.Labels["operator.kyma-project.io/module-name"])
	spec := template.Spec
	assert.Equal(t, "extauth-guard", spec.ModuleName)
	assert.Equal(t, "1.2.3", spec.Version)
	assert.False(t, spec.Mandatory)
	assert.NotNil(t, spec.Descriptor)
	assert.NotEmpty(t, spec.Info.Icons)
	assert.Equal(t, "https://github.com/extauth-guard/extauth-guard/blob/v1.2.3/docs/kyma.md", spec.Info.Documentation)
	for _, resource := range spec.Resources {
		folder, file, found := strings.Cut(resource.Link, "/v1.2.3/")
		require.True(t, found, resource.Link)
		assert.Equal(t, "https://github.com/extauth-guard/extauth-guard/releases/download", folder)
		assert.Contains(t, files, file, "the release has it")
	}
	assert.Equal(t, "rawManifest", spec.Resources[0].Name)

	objects, err := kymamodule.Manifest(release)
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(objects, func(object *unstructured.Unstructured) bool {
		kind := object.GroupVersionKind()
		return kind.Group == spec.Manager.Group && kind.Version == spec.Manager.Version && kind.Kind == spec.Manager.Kind &&
			object.GetNamespace() == spec.Manager.Namespace && object.GetName() == spec.Manager.Name
	}), "the manager is in the manifest")

	served := map[string]bool{}
	for _, object := range objects {
		if object.GetKind() == "CustomResourceDefinition" {
			group, _, _ := unstructured.NestedString(object.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(object.Object, "spec", "names", "kind")
			served[group+" "+kind] = true
		}
	}
	for _, one := range spec.AssociatedResources {
		assert.True(t, served[one.Group+" "+one.Kind], "%s: its CRD is in the manifest", one.Kind)
	}
	assert.Len(t, spec.AssociatedResources, len(served))

	schemas, err := crd.Load(checkout.Path(t, "config/crd"))
	require.NoError(t, err)
	const kind = "ExtAuthGuard.extauth-guard.io"
	require.Equal(t, []string{"v1alpha1"}, schemas.Versions(kind))
	assert.Empty(t, schemas.Check(t.Context(), kind, "v1alpha1", "", spec.Data), "the API server takes it")
	var byItself map[string]any
	require.NoError(t, yaml.UnmarshalStrict(files[kymamodule.DefaultFile], &byItself))
	assert.Equal(t, spec.Data, byItself)
	spec.Data["spec"] = map[string]any{"policy": map[string]any{"names": "Mine"}}
	assert.NotEmpty(t, schemas.Check(t.Context(), kind, "v1alpha1", "", spec.Data), "and refuses another one")
}

func named(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, object := range objects {
		all = append(all, object.GetKind()+" "+object.GetName())
	}
	return all
}

// each calls use with the value of every key of that name.
func each(in any, key string, use func(any)) {
	switch in := in.(type) {
	case map[string]any:
		if value, ok := in[key].(string); ok {
			use(value)
		}
		for _, value := range in {
			each(value, key, use)
		}
	case []any:
		for _, value := range in {
			each(value, key, use)
		}
	}
}
