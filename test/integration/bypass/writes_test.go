// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bypass_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// TestBypassByWriting has the ideas about how an APIRule is written: every way to write
// one comes to the same decision.
func TestBypassByWriting(t *testing.T) {
	s := start(t)

	// Known gap: the webhooks match v2 and v2alpha1 exactly, because matching
	// equivalents breaks the removal of finalizers by Kyma's controller, which
	// writes v1beta1. Kyma refuses new objects of v1beta1 and reconciles none
	// (Kyma api-gateway 3.10), so nothing is exposed; here nobody refuses them,
	// and the audit reports them.
	t.Run("v1beta1", func(t *testing.T) {
		s := s.idea(t, "v1beta1")
		s.enforce()
		require.NoError(t, s.create(`{apiVersion: gateway.kyma-project.io/v1beta1, kind: APIRule, metadata: {name: legacy, namespace: v1beta1},
			spec: {gateway: kyma-system/kyma-gateway, host: legacy.kyma.example.com, service: {name: web, port: 80}, rules: [{path: "/*", methods: [GET], accessStrategies: [{handler: no_auth}]}]}}`))
		s.violates("legacy", "PolicyViolation")
		s.event("legacy", "PolicyViolation")
	})

	t.Run("v2alpha1", func(t *testing.T) {
		s := s.idea(t, "v2alpha1")
		s.enforce()
		object := kyma.Object(t, s.apirule("web", open))
		object.SetAPIVersion("gateway.kyma-project.io/v2alpha1")
		_, err := s.At(object).Create(t.Context(), object, metav1.CreateOptions{})
		s.refused(err, "PolicyViolation")
		require.NoError(t, s.create(s.apirule("web", authed)))
		_, err = s.At(object).Patch(t.Context(), "web", types.MergePatchType, []byte(`{"spec":{"rules":`+openRules+`}}`), metav1.PatchOptions{})
		s.refused(err, "PolicyViolation")
	})

	t.Run("server-side apply", func(t *testing.T) {
		s := s.idea(t, "server-side-apply")
		s.enforce()
		apply := func(manager, rules string) error {
			_, err := s.APIRules(s.namespace).Apply(t.Context(), "web", kyma.Object(t, s.apirule("web", rules)), metav1.ApplyOptions{FieldManager: manager, Force: true})
			return err
		}
		s.refused(apply("one", open), "PolicyViolation")
		require.NoError(t, apply("one", authed))
		s.refused(apply("two", open), "PolicyViolation")
		assert.Contains(t, s.firstRule("web"), "extAuth")
	})

	t.Run("dry-run then real", func(t *testing.T) {
		s := s.idea(t, "dry-run")
		s.enforce()
		dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := s.APIRules(s.namespace).Create(t.Context(), kyma.Object(t, s.apirule("web", open)), dry)
		s.refused(err, "PolicyViolation")
		_, err = s.APIRules(s.namespace).Create(t.Context(), kyma.Object(t, s.apirule("web", authed)), dry)
		require.NoError(t, err)
		s.refused(s.create(s.apirule("web", open)), "PolicyViolation")
	})

	t.Run("patch types", func(t *testing.T) {
		s := s.idea(t, "patch-types")
		s.enforce()
		require.NoError(t, s.create(s.apirule("web", authed)))
		for name, tc := range map[string]struct {
			kind  types.PatchType
			patch string
		}{
			"JSON":       {types.JSONPatchType, `[{"op":"remove","path":"/spec/rules/0/extAuth"},{"op":"add","path":"/spec/rules/0/noAuth","value":true}]`},
			"JSON, move": {types.JSONPatchType, `[{"op":"copy","from":"/spec/rules/0","path":"/spec/rules/-"},{"op":"remove","path":"/spec/rules/0/extAuth"},{"op":"add","path":"/spec/rules/0/noAuth","value":true}]`},
			"merge":      {types.MergePatchType, `{"spec":{"rules":` + openRules + `}}`},
			"apply":      {types.ApplyPatchType, `{"apiVersion":"gateway.kyma-project.io/v2","kind":"APIRule","metadata":{"name":"web"},"spec":{"hosts":["web"],"gateway":"kyma-system/kyma-gateway","service":{"name":"web","port":80},"rules":` + openRules + `}}`},
		} {
			t.Run(name, func(t *testing.T) {
				s := s
				s.t = t
				options := metav1.PatchOptions{FieldManager: "test"}
				if tc.kind == types.ApplyPatchType {
					options.Force = new(true)
				}
				_, err := s.APIRules(s.namespace).Patch(t.Context(), "web", tc.kind, []byte(tc.patch), options)
				s.refused(err, "PolicyViolation")
				assert.Contains(t, s.firstRule("web"), "extAuth")
			})
		}
	})

	// Nothing is refused: the API server takes the status only.
	t.Run("status subresource", func(t *testing.T) {
		s := s.idea(t, "status")
		s.enforce()
		require.NoError(t, s.create(s.annotated("web", `extauth-guard.io/inject: "true"`, asking)))
		object := s.stored("web")
		object.Object["spec"] = kyma.Object(t, s.apirule("web", open)).Object["spec"]
		object.SetAnnotations(map[string]string{"extauth-guard.io/inject": "false"})
		object.Object["status"] = map[string]any{"state": "Ready", "lastProcessedTime": "2026-08-21T10:00:00Z"}
		_, err := s.APIRules(s.namespace).UpdateStatus(t.Context(), object, metav1.UpdateOptions{})
		require.NoError(t, err)
		assert.Contains(t, s.firstRule("web"), "extAuth")
		assert.Equal(t, "true", s.stored("web").GetAnnotations()["extauth-guard.io/inject"])
		s.counts(1, 0, 0)
	})

	t.Run("generateName", func(t *testing.T) {
		s := s.idea(t, "generate-name")
		s.enforce(exemption(s.namespace, "web", "", "2999-12-31"))
		create := func(text string) (string, error) {
			object := kyma.Object(t, text)
			object.SetName("")
			object.SetGenerateName("web")
			created, err := s.APIRules(s.namespace).Create(t.Context(), object, metav1.CreateOptions{})
			if err != nil {
				return "", err
			}
			return created.GetName(), nil
		}
		_, err := create(s.apirule("web", open))
		s.refused(err, "PolicyViolation")
		name, err := create(s.annotated("web", `extauth-guard.io/inject: "true"`, asking))
		require.NoError(t, err)
		assert.Contains(t, s.firstRule(name), "extAuth")
	})

	// Nothing is refused: an APIRule under deletion serves nothing any more, and
	// its finalizers have to come off.
	t.Run("changed while it is being deleted", func(t *testing.T) {
		s := s.idea(t, "deleting")
		s.enforce()
		require.NoError(t, s.create(s.apirule("web", authed)))
		require.NoError(t, s.merge("web", `{"metadata":{"finalizers":["example.com/held"]}}`))
		require.NoError(t, s.APIRules(s.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{}))
		require.NoError(t, s.merge("web", `{"spec":{"rules":`+openRules+`}}`))
		s.metric(`extauth_guard_exposed_hosts{kind="APIRule",namespace="` + s.namespace + `",verdict="Open"} 1`)
		require.NoError(t, s.merge("web", `{"metadata":{"finalizers":null}}`))
		s.counts(0, 0, 0)
	})
}
