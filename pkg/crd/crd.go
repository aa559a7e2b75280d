// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd asks of an object what the API server would ask before it stores it:
// the schema of its CRD, unknown fields, metadata and the CEL rules, by the code of
// the API server itself.
//
// The CRDs of Kyma under kyma are written from facts; those of a cluster can stand
// in for them. Nothing here knows what a field means.
package crd

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

//go:embed kyma/*.yaml
var kyma embed.FS

// Schemas are what CRDs say, by kind and version. The zero value knows no kind.
type Schemas struct {
	kinds map[string]map[string]*version // "APIRule.gateway.kyma-project.io", "v2"
}

// version is a version of a kind.
type version struct {
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
	namespaced bool
	hasStatus  bool
}

// Kyma returns the schemas of the APIRule and of the Istio CR.
func Kyma() (*Schemas, error) {
	folder, err := fs.Sub(kyma, "kyma")
	if err != nil {
		return nil, fmt.Errorf("reading the CRDs of Kyma: %w", err)
	}
	return read(folder)
}

// Load returns the schemas of the CRDs in a folder, for example what "kubectl get
// crd NAME -o yaml" printed. What is no CRD there is passed over; a folder without
// one is an error.
func Load(folder string) (*Schemas, error) {
	schemas, err := read(os.DirFS(folder))
	if err != nil {
		return nil, fmt.Errorf("reading the CRDs in %s: %w", folder, err)
	}
	return schemas, nil
}

// Over returns the schemas of s, and those of others for kinds that s lacks.
func (s *Schemas) Over(others *Schemas) *Schemas {
	all := &Schemas{kinds: map[string]map[string]*version{}}
	for _, from := range []*Schemas{others, s} {
		maps.Copy(all.kinds, from.kinds)
	}
	return all
}

func read(folder fs.FS) (*Schemas, error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, err
	}
	schemas := &Schemas{kinds: map[string]map[string]*version{}}
	for _, entry := range entries {
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(entry.Name())) {
			continue
		}
		raw, err := fs.ReadFile(folder, entry.Name())
		if err != nil {
			return nil, err
		}
		if err := schemas.add(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
	}
	if len(schemas.kinds) == 0 {
		return nil, errors.New("there is no CustomResourceDefinition")
	}
	return schemas, nil
}

// add adds the CRDs of a file.
func (s *Schemas) add(raw []byte) error {
	for document := range strings.SplitSeq("\n"+string(raw), "\n---") {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(document), &crd); err != nil {
			return err
		}
		if crd.Kind != "CustomResourceDefinition" {
			continue
		}
		kind := crd.Spec.Names.Kind + "." + crd.Spec.Group
		s.kinds[kind] = map[string]*version{}
		for i := range crd.Spec.Versions {
			of := &crd.Spec.Versions[i]
			if !of.Served {
				continue
			}
			compiled, err := compile(of)
			if err != nil {
				return fmt.Errorf("version %s: %w", of.Name, err)
			}
			compiled.namespaced = crd.Spec.Scope == apiextensionsv1.NamespaceScoped
			s.kinds[kind][of.Name] = compiled
		}
	}
	return nil
}

func compile(of *apiextensionsv1.CustomResourceDefinitionVersion) (*version, error) {
	compiled := &version{hasStatus: of.Subresources != nil && of.Subresources.Status != nil}
	var internal apiextensions.CustomResourceValidation
	if of.Schema == nil {
		return nil, errors.New("there is no schema")
	}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(of.Schema, &internal, nil); err != nil {
		return nil, err
	}
	var err error
	if compiled.structural, err = schema.NewStructural(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	if compiled.schema, _, err = validation.NewSchemaValidator(internal.OpenAPIV3Schema); err != nil {
		return nil, err
	}
	compiled.rules = cel.NewValidator(compiled.structural, true, celconfig.PerCallLimit)
	return compiled, nil
}

// Versions returns the versions of a kind, "APIRule.gateway.kyma-project.io", that
// are served, sorted; none for a kind that is not known.
func (s *Schemas) Versions(kind string) []string {
	var names []string
	for name := range s.kinds[kind] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
