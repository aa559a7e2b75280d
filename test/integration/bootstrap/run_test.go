// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
)

func TestFromAnIssuerAndASecretToFourVerdicts(t *testing.T) {
	s := newScene(t)
	before := s.foreignConfig(t)

	plan := s.run(t, "--dry-run")
	require.NoError(t, plan.err)
	assert.Equal(t, "Done", plan.steps["preflight"].State)
	assert.Equal(t, "Needed", plan.steps["namespace"].State)
	assert.Equal(t, "Unknown", plan.steps["proxy"].State)
	assert.Empty(t, plan.applied())
	assert.Nil(t, s.ours(t), "a dry run wrote something")

	began := time.Now()
	first := s.run(t)
	require.NoError(t, first.err, first.stdout)
	assert.Less(t, time.Since(began), 15*time.Second)
	assert.Empty(t, cmp.Diff([]string{"preflight", "namespace", "credentials", "proxy", "callback", "authorizer", "effective", "verify"}, first.order))
	assert.Subset(t, first.applied(), []string{"namespace", "credentials", "proxy", "authorizer"})
	assert.Equal(t, "no token: 401, garbage token: 401, client-credentials token: 200, 7 own paths: denied", first.steps["verify"].Message)
	assert.Equal(t, before, s.foreignConfig(t))
	want := map[string]any{
		"name": "oauth2-proxy", "port": int64(80), "service": "oauth2-proxy." + s.namespace + ".svc.cluster.local",
		"pathPrefix": "/verify?original=", "timeout": "5s",
		"headers": map[string]any{
			"inCheck":      map[string]any{"include": []any{"authorization", "x-forwarded-for"}},
			"toDownstream": map[string]any{"onDeny": []any{"content-type"}},
		},
	}
	assert.Empty(t, cmp.Diff(want, s.ours(t)), "(-want +got)")

	credentials, version := s.secret(t), s.istio(t).GetResourceVersion()
	second := s.run(t)
	require.NoError(t, second.err)
	assert.Empty(t, second.applied(), "a second run changed something")
	assert.Equal(t, credentials.ResourceVersion, s.secret(t).ResourceVersion)
	assert.Equal(t, version, s.istio(t).GetResourceVersion())

	var written struct{ Outcome string }
	require.NoError(t, json.Unmarshal([]byte(second.termination), &written))
	assert.Equal(t, "Done", written.Outcome)
	var result corev1.ConfigMap
	require.NoError(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: jobNamespace, Name: "extauth-guard-bootstrap"}, &result))
	assert.Equal(t, "Done", result.Data["outcome"])
	assert.Contains(t, result.Data["result.json"], "client-credentials token: 200")
}

func TestAChangedClientSecretRollsThePodsAndKeepsTheSessions(t *testing.T) {
	s := newScene(t)
	require.NoError(t, s.run(t).err)
	before, template := s.secret(t), s.template(t)

	s.setSecret(t, map[string]string{"client-id": "other", "client-secret": clientSecret})
	s.set(t, "credentials.clientIDKey", "client-id")
	refused := s.run(t)
	require.ErrorContains(t, refused.err, "invalid_client", "the provider's own words")
	assert.Equal(t, exit.Blocked, exit.Code(refused.err))

	s.setSecret(t, map[string]string{"id": clientID, "client-secret": clientSecret})
	s.set(t, "credentials.clientIDKey", "id")
	require.NoError(t, s.run(t).err)
	assert.Equal(t, template, s.template(t), "nothing changed but the user's Secret's keys")

	secret := s.secret(t)
	secret.Data["client-secret"] = []byte("outdated")
	require.NoError(t, s.client.Update(t.Context(), secret))
	again := s.run(t)
	require.NoError(t, again.err)
	assert.Contains(t, again.applied(), "credentials")
	assert.Equal(t, before.Data["cookie-secret"], s.secret(t).Data["cookie-secret"])
	assert.Equal(t, template, s.template(t), "the same credentials are the same Pods")
}

// template returns the fingerprint on the Deployment's Pods.
func (s *scene) template(t *testing.T) string {
	t.Helper()
	var deployment appsv1.Deployment
	require.NoError(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.namespace, Name: "oauth2-proxy"}, &deployment))
	return deployment.Spec.Template.Annotations["checksum/credentials"]
}

func TestUninstallUndoesTheRunAndRefusesWhileItIsUsed(t *testing.T) {
	s := newScene(t)
	before := s.foreignConfig(t)
	require.NoError(t, s.run(t).err)
	rule := apiRule("default", "shop-"+s.namespace, "oauth2-proxy")
	require.NoError(t, s.client.Create(t.Context(), rule))

	refused := s.run(t, "uninstall")
	require.ErrorContains(t, refused.err, "is used by the APIRules default/shop-"+s.namespace)
	assert.Equal(t, exit.Blocked, exit.Code(refused.err))
	assert.NotNil(t, s.ours(t))

	require.NoError(t, s.client.Delete(t.Context(), rule))
	done := s.run(t, "uninstall")
	require.NoError(t, done.err, done.stdout)
	assert.Empty(t, cmp.Diff([]string{"authorizer", "proxy", "credentials", "namespace"}, done.applied()))
	assert.Nil(t, s.ours(t))
	assert.Equal(t, before, s.foreignConfig(t))
	var deployments appsv1.DeploymentList
	require.NoError(t, s.client.List(t.Context(), &deployments))
	for _, deployment := range deployments.Items {
		assert.NotEqual(t, s.namespace, deployment.Namespace)
	}
	again := s.run(t, "uninstall")
	require.NoError(t, again.err)
	assert.Empty(t, again.applied())
}

func TestTheAuthorizationCodeFlowExposesItsCallbackOnly(t *testing.T) {
	s := newScene(t)
	s.codeFlow(t)
	taken := apiRule("default", "taken-"+s.namespace, "oauth2-proxy")
	require.NoError(t, unstructured.SetNestedStringSlice(taken.Object, []string{s.namespace + ".example.com"}, "spec", "hosts"))
	require.NoError(t, s.client.Create(t.Context(), taken))
	refused := s.run(t)
	require.ErrorContains(t, refused.err, "belongs to APIRule default/taken-"+s.namespace)
	assert.Equal(t, exit.Blocked, exit.Code(refused.err))
	require.NoError(t, s.client.Delete(t.Context(), taken))

	done := s.run(t)
	require.NoError(t, done.err, done.stdout)
	assert.Equal(t, "no token: 302, garbage token: 302, 7 own paths: denied", done.steps["verify"].Message)
	rule := apiRule(s.namespace, "oauth2-proxy", "")
	require.NoError(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.namespace, Name: "oauth2-proxy"}, rule))
	rules, _, _ := unstructured.NestedSlice(rule.Object, "spec", "rules")
	assert.Equal(t, true, rules[0].(map[string]any)["noAuth"])
	shield := s.shield(t)
	require.NotNil(t, shield, "the gateway lets identity headers of clients in")
	denied, _, _ := unstructured.NestedSlice(shield.Object, "spec", "rules")
	assert.Len(t, denied, 11)
	again := s.run(t)
	require.NoError(t, again.err)
	assert.Empty(t, again.applied())

	require.NoError(t, s.run(t, "uninstall").err)
	assert.Nil(t, s.shield(t), "the shield is left")
	require.Error(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.namespace, Name: "oauth2-proxy"}, rule))
}

// shield returns the policy that keeps identity headers of clients out, or nil.
func (s *scene) shield(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	policy := &unstructured.Unstructured{}
	policy.SetGroupVersionKind(schema.GroupVersionKind{Group: "security.istio.io", Version: "v1beta1", Kind: "AuthorizationPolicy"})
	err := s.client.Get(t.Context(), types.NamespacedName{Namespace: "istio-system", Name: s.namespace + "-oauth2-proxy-shield"}, policy)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	return policy
}

// TestAChangedFlowUndoesWhatOnlyTheOtherNeeds changes from one to the other and back.
func TestAChangedFlowUndoesWhatOnlyTheOtherNeeds(t *testing.T) {
	s := newScene(t)
	s.codeFlow(t)
	require.NoError(t, s.run(t).err)
	key := types.NamespacedName{Namespace: s.namespace, Name: "oauth2-proxy"}
	require.NoError(t, s.client.Get(t.Context(), key, apiRule(s.namespace, "oauth2-proxy", "")))

	s.set(t, "flow", "ClientCredentials")
	s.set(t, "callback", map[string]any{"host": ""})
	plan := s.run(t, "--dry-run")
	require.NoError(t, plan.err)
	assert.Equal(t, "Needed", plan.steps["callback"].State)
	changed := s.run(t)
	require.NoError(t, changed.err, changed.stdout)
	assert.Contains(t, changed.applied(), "callback")
	assert.True(t, apierrors.IsNotFound(s.client.Get(t.Context(), key, apiRule(s.namespace, "oauth2-proxy", ""))), "the open APIRule is left")
	assert.Nil(t, s.shield(t), "the shield is left")
	policy := &unstructured.Unstructured{}
	policy.SetGroupVersionKind(schema.GroupVersionKind{Group: "security.istio.io", Version: "v1beta1", Kind: "AuthorizationPolicy"})
	key.Name += "-allow-internal"
	assert.True(t, apierrors.IsNotFound(s.client.Get(t.Context(), key, policy)), "the policy is left")
	again := s.run(t)
	require.NoError(t, again.err)
	assert.Empty(t, again.applied())

	s.codeFlow(t)
	require.NoError(t, s.run(t).err)
}

func apiRule(namespace, name, authorizer string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec": map[string]any{
			"hosts": []any{name + ".example.com"}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": "shop", "port": int64(80)},
			"rules": []any{map[string]any{
				"path": "/*", "methods": []any{"GET"}, "extAuth": map[string]any{"authorizers": []any{authorizer}},
			}},
		},
	}}
}
