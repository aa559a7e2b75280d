// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package permissions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// What somebody can do who has the token of the webhook, tried with the objects of
// the chart on a real API server.
func TestAStolenTokenOfTheWebhook(t *testing.T) {
	s := newStage(t, policyReports())
	s.install(t, map[string]any{})
	s.apply(t, `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}], selector: {app: web}}}`)
	thief, err := dynamic.NewForConfig(s.plane.AsServiceAccount(chart.Namespace, "extauth-guard"))
	require.NoError(t, err)
	admission := func(kind string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: kind}
	}
	mutating, validating := admission("mutatingwebhookconfigurations"), admission("validatingwebhookconfigurations")
	patch := func(resource schema.GroupVersionResource, namespace, name, operations string) error {
		_, err := at(thief, resource, namespace).Patch(t.Context(), name, types.JSONPatchType, []byte(operations), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	require.Eventually(t, func() bool { // the API server learns of policies and roles by watches
		return patch(mutating, "", "extauth-guard", bundle("QUFB")) == nil &&
			apierrors.IsForbidden(patch(mutating, "", "extauth-guard", replaced("/webhooks/0/timeoutSeconds", 9)))
	}, patience, glance, "the authority is the one thing that it has to write")
	require.NoError(t, patch(validating, "", "extauth-guard", bundle("QUFB")))

	const pinned = "may change nothing of its webhook configurations but clientConfig.caBundle"
	for name, operations := range map[string]string{
		"everything is sent to it":       replaced("/webhooks/0/rules", []any{map[string]any{"apiGroups": []any{"*"}, "apiVersions": []any{"*"}, "resources": []any{"*/*"}, "operations": []any{"*"}}}),
		"to another server":              `[{"op":"remove","path":"/webhooks/0/clientConfig/service"},{"op":"add","path":"/webhooks/0/clientConfig/url","value":"https://evil.example.com/x"}]`,
		"to another Service":             replaced("/webhooks/0/clientConfig/service/namespace", "shop"),
		"without conditions":             `[{"op":"remove","path":"/webhooks/0/matchConditions"}]`,
		"of all namespaces":              replaced("/webhooks/0/namespaceSelector", map[string]any{}),
		"only of some objects":           replaced("/webhooks/0/objectSelector", map[string]any{"matchLabels": map[string]any{"a": "b"}}),
		"in versions that are converted": replaced("/webhooks/0/matchPolicy", "Equivalent"),
		"and may fail":                   replaced("/webhooks/0/failurePolicy", "Ignore"),
		"with another webhook":           `[{"op":"copy","from":"/webhooks/0","path":"/webhooks/1"},{"op":"replace","path":"/webhooks/1/name","value":"a.b.c"}]`,
		"with none":                      replaced("/webhooks", []any{}),
		"under another label":            `[{"op":"add","path":"/metadata/labels/a","value":"b"}]`,
		"and is collected as garbage":    `[{"op":"add","path":"/metadata/ownerReferences","value":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			for kind, resource := range map[string]schema.GroupVersionResource{"mutating": mutating, "validating": validating} {
				if name == "and may fail" && kind == "mutating" {
					continue // it may anyway
				}
				err := patch(resource, "", "extauth-guard", operations)
				assert.ErrorContains(t, err, pinned, kind)
			}
		})
	}
	t.Run("nobody else is pinned", func(t *testing.T) {
		_, err := s.untyped.Resource(mutating).Patch(t.Context(), "extauth-guard", types.JSONPatchType, []byte(replaced("/webhooks/0/timeoutSeconds", 9)), metav1.PatchOptions{})
		assert.NoError(t, err)
	})
	t.Run("RBAC refuses the rest", func(t *testing.T) {
		services := schema.GroupVersionResource{Version: "v1", Resource: "services"}
		assert.True(t, apierrors.IsForbidden(patch(services, "shop", "web", replaced("/spec/selector", map[string]any{"app": "evil"}))), "a Service is pointed elsewhere")
		assert.True(t, apierrors.IsForbidden(patch(services, "shop", "web", `[{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}]`)), "or annotated")
		assert.True(t, apierrors.IsForbidden(patch(admission("validatingadmissionpolicies"), "", "pinned.extauth-guard.extauth-guard.io", `[]`)), "its own policy is changed")
		for _, resource := range []schema.GroupVersionResource{mutating, admission("validatingadmissionpolicybindings")} {
			err := thief.Resource(resource).Delete(context.WithoutCancel(t.Context()), "extauth-guard", metav1.DeleteOptions{})
			assert.True(t, apierrors.IsForbidden(err), "%s: %v", resource.Resource, err)
		}
		secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
		_, err := thief.Resource(secrets).Namespace("kube-system").List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "%v", err)
	})
}

// install creates what the chart renders that says what an account may do.
func (s *stage) install(t *testing.T, values map[string]any) {
	t.Helper()
	rendering, err := chart.Render(chart.Options{Values: chart.WithImage(values)})
	require.NoError(t, err)
	objects, err := rendering.Objects()
	require.NoError(t, err)
	hooks, err := rendering.HookObjects()
	require.NoError(t, err)
	resources := map[string]string{
		"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
		"MutatingWebhookConfiguration": "mutatingwebhookconfigurations", "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
		"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
	}
	created := map[string]bool{}
	for _, object := range append(objects, hooks...) {
		id := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		if resource, wanted := resources[object.GetKind()]; wanted && !created[id] {
			created[id] = true
			_, err := at(s.untyped, object.GroupVersionKind().GroupVersion().WithResource(resource), object.GetNamespace()).Create(t.Context(), object, metav1.CreateOptions{})
			require.NoError(t, err, id)
		}
	}
}

// attempt is something that a thief tries.
type attempt struct {
	verb      string
	group     string
	version   string
	resource  string
	namespace string
	name      string
}

// by tries it as a dry run, and returns what the API server says.
func (a attempt) by(ctx context.Context, thief dynamic.Interface) error {
	resource := at(thief, schema.GroupVersionResource{Group: a.group, Version: a.version, Resource: a.resource}, a.namespace)
	dry := []string{metav1.DryRunAll}
	var err error
	switch a.verb {
	case "get":
		_, err = resource.Get(ctx, a.name, metav1.GetOptions{})
	case "list":
		_, err = resource.List(ctx, metav1.ListOptions{})
	case "delete":
		err = resource.Delete(ctx, a.name, metav1.DeleteOptions{DryRun: dry})
	case "patch":
		_, err = resource.Patch(ctx, a.name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{DryRun: dry})
	case "create":
		object := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": a.name}}}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: a.group, Version: a.version, Kind: "Any"})
		_, err = resource.Create(ctx, object, metav1.CreateOptions{DryRun: dry})
	default:
		err = fmt.Errorf("the verb %s is not known here", a.verb)
	}
	return err
}

// What somebody can do who has the token of the bootstrap job or of helm test. What is
// permitted may fail for another reason than permissions: the object is made up.
func TestAStolenTokenOfTheHooks(t *testing.T) {
	s := newStage(t, policyReports())
	s.namespace(t, "tests", nil)
	s.install(t, map[string]any{
		"tests": map[string]any{"namespace": "tests"},
		"bootstrap": map[string]any{"enabled": true, "config": map[string]any{
			"issuer": map[string]any{"url": "https://issuer.example.com"}, "credentials": map[string]any{"name": "client"},
			"proxy":     map[string]any{"chart": map[string]any{"digest": "sha256:" + strings.Repeat("0", 64)}},
			"selfCheck": map[string]any{"namespace": "tests"},
		}},
	})
	const (
		registration = "admissionregistration.k8s.io"
		rbac         = "rbac.authorization.k8s.io"
		kyma         = "gateway.kyma-project.io"
		security     = "security.istio.io"
	)
	// What nobody may who has one of these tokens.
	never := []attempt{
		{"patch", registration, "v1", "validatingwebhookconfigurations", "", "extauth-guard"},
		{"delete", registration, "v1", "mutatingwebhookconfigurations", "", "extauth-guard"},
		{"create", registration, "v1", "mutatingwebhookconfigurations", "", "evil"},
		{"delete", registration, "v1", "validatingadmissionpolicybindings", "", "pinned.extauth-guard.extauth-guard.io"},
		{"create", rbac, "v1", "clusterrolebindings", "", "evil"},
		{"patch", rbac, "v1", "clusterroles", "", "extauth-guard-bootstrap"},
		{"patch", rbac, "v1", "roles", "oauth2-proxy", "extauth-guard-bootstrap"},
		{"get", "", "v1", "secrets", chart.Namespace, "extauth-guard-tls"},
		{"list", "", "v1", "secrets", "kube-system", ""},
		{"list", "", "v1", "secrets", "shop", ""},
		{"create", "", "v1", "pods", chart.Namespace, "evil"},
		{"create", "", "v1", "pods", "oauth2-proxy", "evil"},
		{"create", "apps", "v1", "deployments", chart.Namespace, "evil"},
		{"create", "apps", "v1", "deployments", "kube-system", "evil"},
		{"patch", "", "v1", "namespaces", "", "shop"},
		{"delete", "", "v1", "namespaces", "", "shop"},
		{"patch", "", "v1", "services", "shop", "web"},
		{"create", kyma, "v2", "apirules", "shop", "evil"},
		{"patch", kyma, "v2", "apirules", "shop", "web"},
		{"delete", kyma, "v2", "apirules", "shop", "web"},
		{"create", security, "v1", "authorizationpolicies", "shop", "evil"},
		{"delete", "operator.kyma-project.io", "v1alpha2", "istios", "kyma-system", "default"},
		{"patch", "extauth-guard.io", "v1alpha1", "extauthpolicies", "", "all"},
		{"patch", "apiextensions.k8s.io", "v1", "customresourcedefinitions", "", "extauthpolicies.extauth-guard.io"},
	}
	for account, can := range map[string][]attempt{
		"extauth-guard-bootstrap": {
			{"patch", "operator.kyma-project.io", "v1alpha2", "istios", "kyma-system", "default"},
			{"create", "apps", "v1", "deployments", "oauth2-proxy", "evil"},
			{"list", "", "v1", "secrets", "oauth2-proxy", ""},
			{"create", "", "v1", "namespaces", "", "evil"},
			{"create", kyma, "v2", "apirules", "tests", "evil"},
		},
		"extauth-guard-test": {{"create", kyma, "v2", "apirules", "tests", "evil"}},
	} {
		thief, err := dynamic.NewForConfig(s.plane.AsServiceAccount(chart.Namespace, account))
		require.NoError(t, err)
		for _, one := range can { // the API server learns of roles by watches
			require.Eventually(t, func() bool { return !apierrors.IsForbidden(one.by(t.Context(), thief)) }, patience, glance, "%s can %+v", account, one)
		}
		for _, one := range never {
			assert.True(t, apierrors.IsForbidden(one.by(t.Context(), thief)), "%s cannot %+v", account, one)
		}
	}
	thief, err := dynamic.NewForConfig(s.plane.AsServiceAccount(chart.Namespace, "extauth-guard-test"))
	require.NoError(t, err)
	for _, one := range []attempt{
		{"list", "", "v1", "secrets", "oauth2-proxy", ""},
		{"create", "apps", "v1", "deployments", "oauth2-proxy", "evil"},
		{"patch", "operator.kyma-project.io", "v1alpha2", "istios", "kyma-system", "default"},
		{"list", kyma, "v2", "apirules", "tests", ""},
	} {
		assert.True(t, apierrors.IsForbidden(one.by(t.Context(), thief)), "extauth-guard-test cannot %+v", one)
	}
}

func at(client dynamic.Interface, resource schema.GroupVersionResource, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return client.Resource(resource)
	}
	return client.Resource(resource).Namespace(namespace)
}

// bundle is a patch that writes an authority.
func bundle(authority string) string {
	return fmt.Sprintf(`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":%q}]`, authority)
}

func replaced(path string, value any) string {
	raw, err := json.Marshal([]any{map[string]any{"op": "replace", "path": path, "value": value}})
	if err != nil {
		panic(err)
	}
	return string(raw)
}
