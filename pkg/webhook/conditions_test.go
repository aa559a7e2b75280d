// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
)

// BenchmarkConditions is what the API server spends before it calls us, or does
// not, in its own code. "true" is a condition that costs as little as one can.
func BenchmarkConditions(b *testing.B) {
	always := []admissionregistrationv1.MatchCondition{{Name: "always", Expression: "true"}}
	mutating := registration().Mutating().Webhooks[0].MatchConditions
	validating := registration().Validating().Webhooks[0].MatchConditions
	labelled := stored(b, injected)
	labelled.SetLabels(map[string]string{"team": "shop"})
	for _, request := range []struct {
		name                  string
		operation             admission.Operation
		object, old           runtime.Object
		mutated, andValidated bool
	}{
		{"create with open rules", admission.Create, stored(b, openRules), nil, true, true},
		{"create with authorizers", admission.Create, stored(b, injected), nil, false, true},
		{"label changed", admission.Update, labelled, stored(b, injected), false, false},
	} {
		for _, one := range []struct {
			name       string
			conditions []admissionregistrationv1.MatchCondition
			called     bool
		}{{"true", always, true}, {"mutating", mutating, request.mutated}, {"validating", validating, request.andValidated}} {
			b.Run(request.name+"/"+one.name, func(b *testing.B) {
				matcher := compiled(b, one.conditions)
				attributes := attributesOf(b, request.operation, request.object, request.old)
				b.ReportAllocs()
				for b.Loop() {
					// The API server makes the attributes anew for each request and plugin.
					fresh := *attributes
					result := matcher.Match(b.Context(), &fresh, nil, nil)
					if result.Error != nil || result.Matches != one.called {
						b.Fatal(result.Error, result.Matches, result.FailedConditionName)
					}
				}
			})
		}
	}
}

func stored(tb testing.TB, rule string) *unstructured.Unstructured {
	tb.Helper()
	return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(object("app-0", rule))}
}

// compiled compiles conditions as the API server does (apiserver,
// admission/plugin/webhook/accessors.go).
func compiled(tb testing.TB, conditions []admissionregistrationv1.MatchCondition) matchconditions.Matcher {
	tb.Helper()
	expressions := make([]cel.ExpressionAccessor, 0, len(conditions))
	for i := range conditions {
		expressions = append(expressions, &matchconditions.MatchCondition{Name: conditions[i].Name, Expression: conditions[i].Expression})
	}
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	evaluator := compiler.CompileCondition(expressions, cel.OptionalVariableDeclarations{HasAuthorizer: true}, environment.StoredExpressions)
	require.Empty(tb, evaluator.CompilationErrors())
	return matchconditions.NewMatcher(evaluator, new(admissionregistrationv1.Fail), "webhook", "admit", "benchmark")
}

func attributesOf(tb testing.TB, operation admission.Operation, object, old runtime.Object) *admission.VersionedAttributes {
	tb.Helper()
	kind := schema.GroupVersionKind{Group: "gateway.kyma-project.io", Version: "v2", Kind: "APIRule"}
	caller := &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{"system:masters", "system:authenticated"}}
	attributes := admission.NewAttributesRecord(object, old, kind, "shop", "app-0", kind.GroupVersion().WithResource("apirules"), "", operation, &metav1.CreateOptions{}, true, caller)
	versioned, err := admission.NewVersionedAttributes(attributes, kind, nil)
	require.NoError(tb, err)
	return versioned
}
