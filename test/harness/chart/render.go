// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart renders the project's own chart in this process, as helm install
// would, and reads what comes out.
//
// There is no cluster: what the chart is told about one is an argument.
package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// Namespace is where renderings are installed, and Release their name.
const (
	Namespace = "extauth-guard"
	Release   = "extauth-guard"
)

// Rendering is what helm install would send, and say.
type Rendering struct {
	// Manifests are those of the release, in the order in which Helm sends them.
	Manifests string
	// Hooks are the manifests of the hooks, in the order of their files.
	Hooks string
	// Notes is what the user reads.
	Notes string
}

// Options say what the chart is told.
type Options struct {
	// Values over the chart's own.
	Values map[string]any
	// APIVersions that the cluster serves, besides those of Kubernetes.
	APIVersions []string
	// Namespace of the release; "" means [Namespace].
	Namespace string
	// AsIs leaves the values alone: a chart of version 0.0.0 that is given no image
	// refuses to be installed.
	AsIs bool
}

// Directory returns where the chart is.
func Directory() (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "charts", "extauth-guard"), nil
}

// Render renders the chart. A refusal by the chart is an error.
func Render(options Options) (Rendering, error) {
	directory, err := Directory()
	if err != nil {
		return Rendering{}, err
	}
	loaded, err := loader.LoadDir(directory)
	if err != nil {
		return Rendering{}, fmt.Errorf("loading the chart: %w", err)
	}
	install := action.NewInstall(&action.Configuration{})
	install.ClientOnly, install.DryRun, install.IncludeCRDs = true, true, true
	install.ReleaseName, install.Namespace = Release, Namespace
	if options.Namespace != "" {
		install.Namespace = options.Namespace
	}
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.37.0", Major: "1", Minor: "37"}
	install.APIVersions = append(options.APIVersions, chartutil.DefaultVersionSet...)
	values := options.Values
	if !options.AsIs {
		values = WithImage(values)
	}
	release, err := install.Run(loaded, values)
	if err != nil {
		return Rendering{}, fmt.Errorf("rendering the chart: %w", err)
	}
	var hooks bytes.Buffer
	for _, hook := range release.Hooks {
		fmt.Fprintf(&hooks, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return Rendering{Manifests: release.Manifest, Hooks: hooks.String(), Notes: release.Info.Notes}, nil
}

// WithImage returns values that name an image, as those of a checkout have to: the
// one of its version, unless the values name another.
func WithImage(values map[string]any) map[string]any {
	image, _ := values["image"].(map[string]any)
	if image["tag"] != nil || image["digest"] != nil {
		return values
	}
	values, image = maps.Clone(values), maps.Clone(image)
	if values == nil {
		values = map[string]any{}
	}
	if image == nil {
		image = map[string]any{}
	}
	image["tag"] = "0.0.0"
	values["image"] = image
	return values
}

// ReadValues reads a values file.
func ReadValues(raw []byte) (map[string]any, error) {
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(raw, &values); err != nil {
		return nil, fmt.Errorf("reading values: %w", err)
	}
	return values, nil
}

// Objects returns the objects of the release and of its hooks.
func (r Rendering) Objects() ([]*unstructured.Unstructured, error) {
	return objects(r.Manifests + "\n---\n" + r.Hooks)
}

// Installed returns the objects of the release without its hooks.
func (r Rendering) Installed() ([]*unstructured.Unstructured, error) {
	return objects(r.Manifests)
}

// HookObjects returns the objects of the hooks.
func (r Rendering) HookObjects() ([]*unstructured.Unstructured, error) {
	return objects(r.Hooks)
}

func objects(manifests string) ([]*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(manifests))))
	var all []*unstructured.Unstructured
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("splitting the rendering: %w", err)
		}
		object := &unstructured.Unstructured{}
		// Strict, because Kubernetes takes the last of two keys without a word.
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("reading the rendering: %w\n%s", err, document)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
}

// WithoutHelm removes from an object what only Helm has a use for.
func WithoutHelm(object *unstructured.Unstructured) {
	strip := func(path ...string) {
		for _, label := range []string{"app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/version", "helm.sh/chart"} {
			unstructured.RemoveNestedField(object.Object, append(path, label)...)
		}
	}
	strip("metadata", "labels")
	strip("spec", "template", "metadata", "labels")
}
