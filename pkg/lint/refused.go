// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// SchemaInvalid is what the API server refuses by the CRD before a validating
// webhook is asked: a field that is unknown, missing or of a wrong form, or a rule
// of the CRD that does not hold.
const SchemaInvalid = "SchemaInvalid"

// refused returns what the API server would refuse of an object that is stored.
func (l Linter) refused(ctx context.Context, about identity, object map[string]any) []policy.Finding {
	if l.Schemas == nil {
		return nil
	}
	return schemaFindings(l.Schemas.Check(ctx, about.groupKind(), about.version(), about.namespace, object))
}

func schemaFindings(errs field.ErrorList) []policy.Finding {
	var found []policy.Finding
	for _, err := range errs {
		err.BadValue = boundedValue(err.BadValue)
		if text := fmt.Sprint(err.Field, err.BadValue); strings.Contains(text, "{{") || strings.Contains(text, "${") {
			err.Detail += "; is this a template that was not rendered?"
		}
		found = append(found, policy.Finding{
			Code: SchemaInvalid, Severity: policy.Deny, Err: err, Brief: "refused by the CRD", Subject: err.Field + " " + err.Detail,
		})
	}
	return found
}

// boundedValue returns a value that is short enough to be repeated. The API server
// gives each of many faults in a list the whole list.
func boundedValue(value any) any {
	switch of := reflect.ValueOf(value); of.Kind() { //nolint:exhaustive // the others are short
	case reflect.String:
		return bound.Text(of.String())
	case reflect.Slice, reflect.Map:
		if of.Len() > bound.MaxListed {
			return fmt.Sprintf("%d entries", of.Len())
		}
	}
	return value
}

// refusedAPIRule is [Linter.refused] of an APIRule as the mutating webhook changes
// it. What that webhook refuses was only decoded before.
func (l Linter) refusedAPIRule(ctx context.Context, about identity, examined *Examined) []policy.Finding {
	if l.Schemas == nil {
		return nil
	}
	found := l.refusedAfter(ctx, about, examined)
	for _, one := range found {
		if examined.written.Legacy() && one.Err.Field == "spec.rules" {
			one.Err.Detail = "it was written as v1beta1 and has no rules that v2 could show; \"kubectl extauth migrate\" reads its annotation"
		}
	}
	// An annotation that nobody quoted is said once, as ours.
	return slices.DeleteFunc(found, func(one policy.Finding) bool {
		return slices.ContainsFunc(examined.Injection.Findings, func(said policy.Finding) bool { return said.Err.Field == one.Err.Field })
	})
}

func (l Linter) refusedAfter(ctx context.Context, about identity, examined *Examined) []policy.Finding {
	object := examined.object
	if policy.Denies(examined.Injection.Findings) && someRuleOpen(object) {
		return schemaFindings(l.Schemas.Decode(about.groupKind(), about.version(), object))
	}
	if operations := apirule.JSONPatch(examined.written, examined.Injection.Edits); len(operations) > 0 {
		if injected, err := patched(object, operations); err == nil {
			object = injected
		}
	}
	return l.refused(ctx, about, object)
}

// someRuleOpen is true if the API server asks the mutating webhook about an APIRule,
// as the match condition of that name in package webhook says.
func someRuleOpen(object map[string]any) bool {
	rules, _, _ := unstructured.NestedSlice(object, "spec", "rules")
	return slices.ContainsFunc(rules, func(rule any) bool {
		fields, isObject := rule.(map[string]any)
		if !isObject {
			return false
		}
		authorizers, exists, err := unstructured.NestedFieldNoCopy(fields, "extAuth", "authorizers")
		entries, isList := authorizers.([]any)
		return err != nil || !exists || isList && len(entries) == 0
	})
}

// patched returns an object with operations applied.
func patched(object map[string]any, operations []apirule.Operation) (map[string]any, error) {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding the APIRule: %w", err)
	}
	if raw, err = apirule.Apply(raw, operations); err != nil {
		return nil, err
	}
	var after map[string]any
	if err := utiljson.Unmarshal(raw, &after); err != nil {
		return nil, fmt.Errorf("reading the APIRule: %w", err)
	}
	return after, nil
}
