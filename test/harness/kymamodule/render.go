// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kymamodule makes a community module of Kyma from the chart: one manifest that
// anything can apply, the default object, and the ModuleTemplate that names both.
package kymamodule

import (
	"bytes"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// Name is that of the module.
const Name = "extauth-guard"

// The files of a module, as a release has them.
const (
	ManifestFile = "extauth-guard-module.yaml"
	DefaultFile  = "extauth-guard-default-cr.yaml"
	TemplateFile = "extauth-guard-moduletemplate.yaml"
)

const repository = "https://github.com/extauth-guard/extauth-guard"

// Release is what a module is a release of.
type Release struct {
	// Version is that of the image, without "v".
	Version string
	// Digest is sha256:<hex> of the image; "" where it is not known.
	Digest string
}

// Manifest returns everything that is to be applied, in the order in which Kyma's
// dashboard does: CRDs, the Namespace, the rest. Nothing in it is a hook, and nothing
// in it runs once.
func Manifest(of Release) ([]*unstructured.Unstructured, error) {
	rendering, err := chart.Render(chart.Options{Values: map[string]any{
		"image": map[string]any{"tag": of.Version, "digest": of.Digest},
		"crds":  map[string]any{"keep": false}, // means something to Helm only
		"kyma": map[string]any{
			"dashboard": true, "cli": true, "module": map[string]any{"enabled": true},
		},
	}})
	if err != nil {
		return nil, err
	}
	objects, err := rendering.Installed()
	if err != nil {
		return nil, err
	}
	crds, rest := []*unstructured.Unstructured{}, []*unstructured.Unstructured{}
	for _, object := range objects {
		chart.WithoutHelm(object)
		mark(object, of.Version)
		if object.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, object)
			continue
		}
		rest = append(rest, object)
	}
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": chart.Namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"}},
	}}
	mark(namespace, of.Version)
	return slices.Concat(crds, []*unstructured.Unstructured{namespace}, rest), nil
}

// mark says what an object belongs to.
func mark(object *unstructured.Unstructured, version string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["kyma-project.io/module"], labels["app.kubernetes.io/version"] = Name, version
	object.SetLabels(labels)
}

// Default returns the ExtAuthGuard that a user begins with: everything is as the
// manifest says.
func Default() map[string]any {
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.GuardKind,
		"metadata": map[string]any{"name": v1alpha1.GuardName, "namespace": chart.Namespace},
		"spec":     map[string]any{},
	}
}

// Template returns the ModuleTemplate, whose links lead to the files of the release.
func Template(of Release) map[string]any {
	link := func(file string) string { return repository + "/releases/download/v" + of.Version + "/" + file }
	kind := func(name string) map[string]any {
		return map[string]any{"group": v1alpha1.Group, "version": v1alpha1.GroupVersion.Version, "kind": name}
	}
	return map[string]any{
		"apiVersion": "operator.kyma-project.io/v1beta2", "kind": "ModuleTemplate",
		"metadata": map[string]any{
			"name":        Name + "-" + of.Version,
			"labels":      map[string]any{"operator.kyma-project.io/module-name": Name},
			"annotations": map[string]any{"operator.kyma-project.io/is-cluster-scoped": "false"},
		},
		"spec": map[string]any{
			"moduleName": Name, "version": of.Version, "mandatory": false, "requiresDowntime": false,
			"info": map[string]any{
				"repository": repository + ".git", "documentation": repository + "/blob/v" + of.Version + "/docs/kyma.md",
				"icons": []any{map[string]any{
					"name": "module-icon", "link": "https://raw.githubusercontent.com/kyma-project/kyma/refs/heads/main/docs/assets/logo_icon.svg",
				}},
			},
			"associatedResources": []any{kind(v1alpha1.GuardKind), kind(v1alpha1.Kind)},
			"data":                Default(),
			"manager": map[string]any{
				"group": "apps", "version": "v1", "kind": "Deployment", "namespace": chart.Namespace, "name": Name,
			},
			"resources": []any{
				map[string]any{"name": "rawManifest", "link": link(ManifestFile)},
				map[string]any{"name": "defaultResource", "link": link(DefaultFile)},
			},
			"descriptor": map[string]any{}, // required by the kind, and without a use for modules like this
		},
	}
}

// Files returns the files of a module by their names. The same release makes the same
// bytes.
func Files(of Release) (map[string][]byte, error) {
	objects, err := Manifest(of)
	if err != nil {
		return nil, err
	}
	var manifest bytes.Buffer
	for _, object := range objects {
		raw, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("encoding the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		manifest.WriteString("---\n")
		manifest.Write(raw)
	}
	files := map[string][]byte{ManifestFile: manifest.Bytes()}
	for name, object := range map[string]map[string]any{DefaultFile: Default(), TemplateFile: Template(of)} {
		if files[name], err = yaml.Marshal(object); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", name, err)
		}
	}
	return files, nil
}
