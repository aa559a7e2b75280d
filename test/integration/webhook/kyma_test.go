// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// finalizer is that of Kyma's API Gateway.
const finalizer = "gateway.kyma-project.io/subresources"

// testKymaController plays the writes of Kyma's controller (Kyma api-gateway
// 3.10, apirule_deletion.go), which must never fail because of us: an APIRule
// that cannot be changed cannot be deleted either.
func (s *stage) testKymaController(t *testing.T) {
	writers := map[string]func(t *testing.T) dynamic.Interface{
		"by Kyma's controller": func(t *testing.T) dynamic.Interface {
			t.Helper()
			config := s.plane.AsServiceAccount("kyma-system", "api-gateway-controller-manager")
			config.Impersonate.Groups = append(config.Impersonate.Groups, "system:masters") // what it may do is not the point
			client, err := dynamic.NewForConfig(config)
			require.NoError(t, err)
			return client
		},
		"by somebody else": func(*testing.T) dynamic.Interface { return s.dynamic },
	}
	for name, client := range writers {
		t.Run("an APIRule whose authorizer is gone is deleted "+name, func(t *testing.T) {
			namespace := s.namespace(t)
			s.orphan(t, namespace, "web")
			v2 := client(t).Resource(apiRuleResource()).Namespace(namespace)
			_, err := v2.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+finalizer+`"]}}`), metav1.PatchOptions{})
			require.NoError(t, err)
			require.NoError(t, v2.Delete(t.Context(), "web", metav1.DeleteOptions{}))

			legacyResource := apiRuleResource()
			legacyResource.Version = "v1beta1"
			legacy := client(t).Resource(legacyResource).Namespace(namespace)
			deleting, err := legacy.Get(t.Context(), "web", metav1.GetOptions{})
			require.NoError(t, err)
			require.NotNil(t, deleting.GetDeletionTimestamp())
			deleting.SetFinalizers(nil)
			deleting.Object["spec"] = object(t, `{spec: {gateway: n/a, host: host, rules: [{path: "/*", methods: [GET], accessStrategies: [{handler: noop}]}]}}`).Object["spec"]
			_, err = legacy.Update(t.Context(), deleting, metav1.UpdateOptions{})
			require.NoError(t, err)
			_, err = v2.Get(t.Context(), "web", metav1.GetOptions{})
			assert.True(t, apierrors.IsNotFound(err), "%v", err)
		})
	}

	t.Run("a finalizer is removed through v2 too", func(t *testing.T) {
		namespace := s.namespace(t)
		s.orphan(t, namespace, "web")
		v2 := s.apiRules("v2", namespace)
		_, err := v2.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+finalizer+`"]}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		require.NoError(t, v2.Delete(t.Context(), "web", metav1.DeleteOptions{}))
		_, err = v2.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		require.NoError(t, err)
	})
}

// orphan makes an APIRule whose authorizer was removed from the Istio CR.
func (s *stage) orphan(t *testing.T, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	s.register(t, "leaving")
	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, name, "", extAuth("leaving")))
	s.resetIstio(t)
	s.untilUnregistered(t.Context(), t, "leaving")
	stored, err := s.apiRules("v2", namespace).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return stored
}

// testRatcheting is about updates of an APIRule that was broken by a removal from
// the Istio CR: they are refused for what they break, never for what they found.
func (s *stage) testRatcheting(t *testing.T) {
	namespace := s.namespace(t)
	s.orphan(t, namespace, "web")
	for name, patch := range map[string]string{
		"a label":               `{"metadata":{"labels":{"a":"b"}}}`,
		"a finalizer":           `{"metadata":{"finalizers":["` + finalizer + `"]}}`,
		"somebody's annotation": `{"metadata":{"annotations":{"example.com/a":"b"}}}`,
		"our annotation":        `{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}}}`,
		"the host":              `{"spec":{"hosts":["other"]}}`,
		"a rule beside it": `{"spec":{"rules":[{"path":"/new","methods":["GET"],"noAuth":true},` +
			`{"path":"/*","methods":["GET"],"extAuth":{"authorizers":["leaving"]}}]}}`,
	} {
		t.Run(name+" may change", func(t *testing.T) {
			_, err := s.apiRules("v2", namespace).Patch(t.Context(), "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			require.NoError(t, err)
		})
	}

	t.Run("the status may change", func(t *testing.T) {
		_, err := s.apiRules("v2", namespace).Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"status":{"state":"Error","description":"Authorizer not found","lastProcessedTime":"2026-08-21T10:00:00Z"}}`), metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	})

	t.Run("a second rule with the lost authorizer is refused", func(t *testing.T) {
		_, err := s.apiRules("v2", namespace).Patch(t.Context(), "web", types.JSONPatchType,
			[]byte(`[{"op":"add","path":"/spec/rules/0","value":{"path":"/more","methods":["GET"],"extAuth":{"authorizers":["leaving"]}}}]`), metav1.PatchOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
	})

	t.Run("another unknown authorizer is refused", func(t *testing.T) {
		_, err := s.apiRules("v2", namespace).Patch(t.Context(), "web", types.JSONPatchType,
			[]byte(`[{"op":"replace","path":"/spec/rules/0","value":{"path":"/*","methods":["GET"],"extAuth":{"authorizers":["nobody"]}}}]`), metav1.PatchOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		assert.ErrorContains(t, err, `Invalid value: "nobody": not registered`)
		assert.NotContains(t, err.Error(), `Invalid value: "leaving": not registered`)
	})
}
