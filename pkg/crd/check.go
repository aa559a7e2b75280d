// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Check returns why the API server would refuse to create an object of a kind and
// version, as kubectl sends it: with unknown fields refused. namespace stands in
// for one that the object does not name. It is nil for a kind or a version that is
// not known. The order is that of the fields. The object is not changed.
func (s *Schemas) Check(ctx context.Context, kind, name, namespace string, object map[string]any) field.ErrorList {
	of := s.kinds[kind][name]
	if of == nil {
		return nil
	}
	decoded, errs := of.decode(object)
	if decoded != nil {
		defaulting.Default(decoded, of.structural)
		defaulting.PruneNonNullableNullsWithoutDefaults(decoded, of.structural)
		errs = append(errs, of.validate(ctx, decoded, namespace)...)
	}
	return inOrder(errs)
}

// Decode is the first part of [Schemas.Check]: why the API server would refuse an
// object before it asks mutating webhooks.
func (s *Schemas) Decode(kind, name string, object map[string]any) field.ErrorList {
	of := s.kinds[kind][name]
	if of == nil {
		return nil
	}
	_, errs := of.decode(object)
	return inOrder(errs)
}

func inOrder(errs field.ErrorList) field.ErrorList {
	slices.SortFunc(errs, func(a, b *field.Error) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Error(), b.Error()))
	})
	return errs
}

// decode returns a copy as the API server decodes it: without unknown fields, which
// are told, and without a status, which is not taken from whoever writes the object.
// It is nil if the API server cannot decode the object.
func (v *version) decode(object map[string]any) (map[string]any, field.ErrorList) {
	if errs := metadataTypes(object); len(errs) > 0 {
		return nil, errs
	}
	_, _, unknown, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, field.ErrorList{field.Invalid(field.NewPath("metadata"), "", "the API server cannot decode it: "+err.Error())}
	}
	object = runtime.DeepCopyJSON(object)
	if v.hasStatus {
		delete(object, "status")
	}
	unknown = append(unknown, pruning.PruneWithOptions(object, v.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	var errs field.ErrorList
	for _, path := range unknown {
		errs = append(errs, field.Invalid(field.NewPath(path), path[strings.LastIndexByte(path, '.')+1:], "there is no such field"))
	}
	return object, errs
}

func (v *version) validate(ctx context.Context, object map[string]any, namespace string) field.ErrorList {
	accessor := &unstructured.Unstructured{Object: object}
	if v.namespaced && accessor.GetNamespace() == "" {
		accessor.SetNamespace(namespace)
	}
	if accessor.GetName() == "" && accessor.GetGenerateName() != "" {
		accessor.SetName(accessor.GetGenerateName() + "x")
	}
	errs := apivalidation.ValidateObjectMetaAccessor(accessor, v.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, object, v.schema)...)
	// A number of the wrong type is told twice, once without a field.
	errs = slices.DeleteFunc(errs, func(err *field.Error) bool { return err.Field == (*field.Path)(nil).String() })
	if v.rules == nil || slices.ContainsFunc(errs, hidesRules) {
		return errs
	}
	broken, _ := v.rules.Validate(ctx, nil, v.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// hidesRules is true for an error after which the API server does not evaluate CEL
// rules (apiextensions-apiserver, customresource/strategy.go, hasBlockingErr).
func hidesRules(err *field.Error) bool {
	return slices.Contains([]field.ErrorType{
		field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid,
	}, err.Type)
}

// metadataTypes tells which labels and annotations are no texts.
func metadataTypes(object map[string]any) field.ErrorList {
	metadata, _ := object["metadata"].(map[string]any)
	var errs field.ErrorList
	for _, part := range []string{"annotations", "labels"} {
		entries, _ := metadata[part].(map[string]any)
		for key, value := range entries {
			switch value.(type) {
			case string, nil:
			case bool, int64, float64:
				errs = append(errs, field.Invalid(field.NewPath("metadata", part).Key(key), value, fmt.Sprintf("the API server takes texts only; quote it: \"%v\"", value)))
			default:
				errs = append(errs, field.TypeInvalid(field.NewPath("metadata", part).Key(key), "an object or a list", "the API server takes texts only"))
			}
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}
