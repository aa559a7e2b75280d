// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// register adds authorizers to the Istio CR until the test ends.
func (s *stage) register(t *testing.T, names ...string) {
	t.Helper()
	t.Cleanup(func() { s.resetIstio(t) })
	for _, name := range names {
		s.patchIstio(t, fmt.Sprintf(
			`[{"op":"add","path":"/spec/config/authorizers/-","value":{"name":%q,"service":"corp.auth.svc.cluster.local","port":80,"pathPrefix":"/verify?original="}}]`, name))
	}
}

func (s *stage) patchIstio(t *testing.T, patch string) {
	t.Helper()
	_, err := s.istios().Patch(t.Context(), "default", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

// resetIstio makes the Istio CR that of the world again, whoever uses what it
// loses, and waits until the server has noticed.
func (s *stage) resetIstio(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	want := worldIstio(t)
	current, err := s.istios().Get(ctx, "default", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.createIstio(t)
	} else {
		require.NoError(t, err)
		var losing []string
		for _, name := range authorizerNames(current) {
			if name != "oauth2-proxy" && name != "corp" {
				losing = append(losing, name)
			}
		}
		current.Object["spec"] = want.Object["spec"]
		annotations := current.GetAnnotations()                    // kubectl's stays
		if len(losing) > 0 && len(losing) <= annotation.MaxNames { // more than that nobody uses
			annotations["extauth-guard.io/allow-removal"] = strings.Join(losing, ",")
		}
		current.SetAnnotations(annotations)
		current, err = s.istios().Update(ctx, current, metav1.UpdateOptions{})
		require.NoError(t, err)
		annotations = current.GetAnnotations()
		delete(annotations, "extauth-guard.io/allow-removal")
		current.SetAnnotations(annotations)
		_, err = s.istios().Update(ctx, current, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	s.untilUnregistered(ctx, t, "nobody-ever")
	s.untilRegistered(ctx, t, "oauth2-proxy")
	s.untilRegistered(ctx, t, "corp")
}

// untilUnregistered waits until an APIRule with the authorizer is refused.
func (s *stage) untilUnregistered(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool { return apierrors.IsInvalid(s.ask(ctx, t, name)) }, patience, often, "%s is still registered", name)
}

func (s *stage) untilRegistered(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool { return s.ask(ctx, t, name) == nil }, patience, often, "%s is not registered", name)
}

// ask whether an APIRule with the authorizer would be admitted.
func (s *stage) ask(ctx context.Context, t *testing.T, authorizer string) error {
	t.Helper()
	_, err := s.apiRules("v2", "default").Create(ctx, object(t, apiRule("v2", "default", "probe", "", extAuth(authorizer))),
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// worldIstio returns the Istio CR of the world.
func worldIstio(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	raw, err := os.ReadFile(world)
	require.NoError(t, err)
	documents := strings.Split(string(raw), "\n---\n")
	return object(t, documents[len(documents)-1])
}

// createIstio creates the Istio CR of the world as kubectl apply does.
func (s *stage) createIstio(t *testing.T) {
	t.Helper()
	want := worldIstio(t)
	raw, err := want.MarshalJSON()
	require.NoError(t, err)
	want.SetAnnotations(map[string]string{"kubectl.kubernetes.io/last-applied-configuration": string(raw)})
	_, err = s.istios().Create(context.WithoutCancel(t.Context()), want, metav1.CreateOptions{})
	require.NoError(t, err)
}

func authorizerNames(istio *unstructured.Unstructured) []string {
	entries, _, _ := unstructured.NestedSlice(istio.Object, "spec", "config", "authorizers")
	var names []string
	for _, entry := range entries {
		if name, ok := entry.(map[string]any)["name"].(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// testNoIstio is about a cluster whose Istio CR is gone. It runs after what needs
// one.
func (s *stage) testNoIstio(t *testing.T) {
	s.deleteIstio(t)
	t.Cleanup(func() { s.resetIstio(t) })
	namespace := s.namespace(t)

	t.Run("an APIRule with an authorizer is told to come back", func(t *testing.T) {
		err := s.ask(t.Context(), t, "oauth2-proxy")
		require.True(t, apierrors.IsServiceUnavailable(err), "%v", err)
		after, suggested := apierrors.SuggestsClientDelay(err)
		assert.True(t, suggested)
		assert.Equal(t, 2, after)
	})

	t.Run("what needs no authorizer passes", func(t *testing.T) {
		for name, rule := range map[string]string{"jwt": jwt, "open": `{path: /, methods: [GET], noAuth: true}`} {
			s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, name, "", rule))
		}
	})

	t.Run("an authorizer is accepted as soon as there is an Istio CR", func(t *testing.T) {
		s.createIstio(t)
		assert.NoError(t, s.ask(t.Context(), t, "oauth2-proxy"), "one live read has to do")
	})
}

// allowRemovals is a patch of the Istio CR that lets both authorizers go for a while.
func allowRemovals() string {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	return fmt.Sprintf(`{"metadata":{"annotations":{"extauth-guard.io/allow-removal":"oauth2-proxy@%s,corp@%s"}}}`, end, end)
}

// deleteIstio deletes the Istio CR, although its authorizers are in use, and
// waits until the server has noticed.
func (s *stage) deleteIstio(t *testing.T) {
	t.Helper()
	_, err := s.istios().Patch(t.Context(), "default", types.MergePatchType, []byte(allowRemovals()), metav1.PatchOptions{})
	require.NoError(t, err)
	require.NoError(t, s.istios().Delete(t.Context(), "default", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return apierrors.IsServiceUnavailable(s.ask(t.Context(), t, "corp")) }, patience, often)
}
