// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e is the one end-to-end suite: it runs against any cluster that has
// extauth-guard, by way of the API server and, where there is one, the ingress
// gateway.
//
// What a cluster lacks is skipped, and the reason printed. Nothing is installed
// here and nothing stays but what a failed run leaves for looking at.
package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/features"
	e2etypes "sigs.k8s.io/e2e-framework/pkg/types"
)

// Features are all features, each in namespaces of its own.
func Features() []features.Feature {
	return []features.Feature{
		injection(),
		refusal(),
		lifecycle(),
		istioGuard(),
		gateway(),
	}
}

// assess makes a step of a feature that gets a connected scene.
func assess(check func(t *testing.T, s *scene)) e2etypes.StepFunc {
	return func(ctx context.Context, t *testing.T, config *envconf.Config) context.Context {
		t.Helper()
		check(t, newScene(ctx, t, config))
		return ctx
	}
}

func injection() features.Feature {
	return features.New("injection").
		Assess("the annotation of an APIRule is enough", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			stored := s.create(t, apirule(namespace, "plain", map[string]any{inject: "true"}))
			assert.Equal(t, []string{s.standard(t)}, authorizersOf(t, stored))
		})).
		Assess("so is that of the Service behind it", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			s.service(t, namespace, "app", map[string]string{authorizers: s.registered(t)})
			stored := s.create(t, apirule(namespace, "app", nil))
			assert.Equal(t, []string{s.registered(t)}, authorizersOf(t, stored))
		})).
		Assess("and that of the namespace", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, map[string]string{inject: "true"})
			stored := s.create(t, apirule(namespace, "any", nil))
			assert.Equal(t, []string{s.standard(t)}, authorizersOf(t, stored))
		})).
		Assess("applying the same again changes nothing", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			manifest := apirule(namespace, "again", map[string]any{inject: "true"})
			first := s.apply(t, manifest)
			assert.Equal(t, first.GetGeneration(), s.apply(t, manifest).GetGeneration())
		})).
		Feature()
}

func refusal() features.Feature {
	return features.New("refusal").
		Assess("a misspelled authorizer is refused, with the names there are", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			_, err := s.apirules(namespace).Create(s.ctx, apirule(namespace, "typo", nil, s.registered(t)+"x"), metav1.CreateOptions{})
			require.True(t, apierrors.IsInvalid(err), "%v", err)
			assert.ErrorContains(t, err, "spec.rules[0].extAuth.authorizers[0]")
			assert.ErrorContains(t, err, s.registered(t))
		})).
		Assess("and so is a misspelled annotation", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			_, err := s.apirules(namespace).Create(s.ctx, apirule(namespace, "typo", map[string]any{"extauth-guard.io/injekt": "true"}, s.registered(t)), metav1.CreateOptions{})
			require.True(t, apierrors.IsInvalid(err), "%v", err)
			assert.ErrorContains(t, err, "extauth-guard.io/injekt")
		})).
		Feature()
}

func lifecycle() features.Feature {
	return features.New("lifecycle").
		Assess("labels, finalizers and deletion pass", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			client := s.apirules(namespace)
			s.create(t, apirule(namespace, "life", nil, s.registered(t)))
			for _, patch := range []string{
				`{"metadata":{"labels":{"team":"shop"}}}`,
				`{"metadata":{"finalizers":["extauth-guard.io/e2e"]}}`,
			} {
				_, err := client.Patch(s.ctx, "life", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
				require.NoError(t, err, patch)
			}
			require.NoError(t, client.Delete(s.ctx, "life", metav1.DeleteOptions{}))
			s.eventually(t, "the APIRule to be gone", func() error {
				_, err := client.Patch(s.ctx, "life", types.JSONPatchType, []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`), metav1.PatchOptions{})
				if _, getErr := client.Get(s.ctx, "life", metav1.GetOptions{}); apierrors.IsNotFound(getErr) {
					return nil
				}
				return fmt.Errorf("it is still there: %w", err)
			})
		})).
		Feature()
}

func istioGuard() features.Feature {
	return features.New("the Istio CR").
		Assess("an authorizer in use cannot be taken away", assess(func(t *testing.T, s *scene) {
			namespace := s.namespace(t, nil)
			s.create(t, apirule(namespace, "user", nil, s.registered(t)))
			s.eventually(t, "the removal to be refused", func() error {
				cr := s.istio(t)
				list, _, err := unstructured.NestedSlice(cr.Object, "spec", "config", "authorizers")
				require.NoError(t, err)
				list = slices.DeleteFunc(list, func(entry any) bool { return entry.(map[string]any)["name"] == s.registered(t) })
				require.NoError(t, unstructured.SetNestedSlice(cr.Object, list, "spec", "config", "authorizers"))
				_, err = s.istios().Update(s.ctx, cr, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
				if apierrors.IsInvalid(err) {
					return nil
				}
				return fmt.Errorf("it was not: %w", err)
			})
		})).
		Feature()
}
