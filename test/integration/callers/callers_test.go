// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package callers_test has callers inside the mesh let in by the webhook binary as it
// ships, on a real API server.
package callers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

const (
	shop = "shop"
	key  = "extauth-guard.io/internal-callers"
)

type fixture struct {
	*kyma.Cluster
	t *testing.T
}

func (f fixture) service(name string, annotations map[string]string) {
	f.t.Helper()
	_, err := f.Typed.CoreV1().Services(shop).Create(f.t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: shop, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(f.t, err)
}

func (f fixture) apirule(name, service string) {
	f.t.Helper()
	f.Apply(fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %s, namespace: shop}, spec: {hosts: [%s], gateway: kyma-system/kyma-gateway, service: {name: %s, port: 80}, rules: [{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}]}}`, name, name, service))
}

// annotate sets the annotation on a Service; nil removes it.
func (f fixture) annotate(service string, value any) error {
	f.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	require.NoError(f.t, err)
	_, err = f.Typed.CoreV1().Services(shop).Patch(f.t.Context(), service, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func (f fixture) policies() dynamic.ResourceInterface {
	return f.Untyped.Resource(schema.GroupVersionResource{Group: "security.istio.io", Version: "v1", Resource: "authorizationpolicies"}).Namespace(shop)
}

// source waits until the policy for a Service has the wanted source.
func (f fixture) source(service string, want map[string]any) {
	f.t.Helper()
	f.Eventually("the policy for "+service, func(ctx context.Context) (string, bool) {
		object, err := f.policies().Get(ctx, "internal-callers-"+service, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		rules, _, _ := unstructured.NestedSlice(object.Object, "spec", "rules")
		diff := cmp.Diff([]any{map[string]any{"from": []any{map[string]any{"source": want}}}}, rules)
		return diff, diff == ""
	})
}

func (f fixture) gone(service string) {
	f.t.Helper()
	f.Eventually("the policy for "+service+" is gone", func(ctx context.Context) (string, bool) {
		_, err := f.policies().Get(ctx, "internal-callers-"+service, metav1.GetOptions{})
		return fmt.Sprint(err), apierrors.IsNotFound(err)
	})
}

// told waits until an event on the Service has the note.
func (f fixture) told(service, note string) {
	f.t.Helper()
	f.Eventually("an event says "+note, func(ctx context.Context) (string, bool) {
		notes := f.Events(ctx, shop, "Service", service)
		return strings.Join(notes, "; "), slices.ContainsFunc(notes, func(one string) bool { return strings.Contains(one, note) })
	})
}

func named(principals ...any) map[string]any {
	return map[string]any{"principals": principals, "notNamespaces": []any{"istio-system"}}
}

func TestCallers(t *testing.T) {
	f := fixture{kyma.Start(t), t}
	f.Namespace(shop, nil)
	f.Namespace("edge", nil)
	on := func(settings *config.WebhookConfig) { settings.Controllers.Internal.Enabled = true }
	f.Admission()
	f.Leader(f.Replica(on))

	t.Run("an annotation and an APIRule make a policy", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.service("cart", map[string]string{key: "batch, web/front"})
		f.gone("cart")
		f.apirule("cart", "cart")
		f.source("cart", named("cluster.local/ns/batch/sa/*", "cluster.local/ns/web/sa/front"))
		f.told("cart", "InternalCallersAllowed: inside the mesh these may call now: batch, web/front (by Service shop/cart)")
		object, err := f.policies().Get(t.Context(), "internal-callers-cart", metav1.GetOptions{})
		require.NoError(t, err)
		selector, _, _ := unstructured.NestedMap(object.Object, "spec", "selector", "matchLabels")
		assert.Equal(t, map[string]any{"app": "cart"}, selector)
		action, _, _ := unstructured.NestedString(object.Object, "spec", "action")
		assert.Equal(t, "ALLOW", action)
		assert.Equal(t, "Service cart", metav1.GetControllerOf(object).Kind+" "+metav1.GetControllerOf(object).Name)
	})

	t.Run("what somebody else did to the policy is undone", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		_, err := f.policies().Patch(t.Context(), "internal-callers-cart", types.MergePatchType, []byte(`{"spec":{"rules":[{}]}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		f.source("cart", named("cluster.local/ns/batch/sa/*", "cluster.local/ns/web/sa/front"))
		require.NoError(t, f.policies().Delete(t.Context(), "internal-callers-cart", metav1.DeleteOptions{}))
		f.source("cart", named("cluster.local/ns/batch/sa/*", "cluster.local/ns/web/sa/front"))
	})

	t.Run("what is refused changes nothing", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		for value, want := range map[string]string{
			"istio-system": "is where the ingress gateways run",
			"istio-system/istio-ingressgateway-service-account": "is where the ingress gateways run",
			"batch/*":  "has a wildcard",
			"*, batch": "has a wildcard",
			"":         "must name a caller",
		} {
			assert.ErrorContains(t, f.annotate("cart", value), want)
		}
		f.source("cart", named("cluster.local/ns/batch/sa/*", "cluster.local/ns/web/sa/front"))
	})

	t.Run("an ingress gateway is never let in", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: own, namespace: edge}, spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}`)
		for name, args := range map[string][]string{"router": {"proxy", "router"}, "application": {"proxy", "sidecar"}} {
			_, err := f.Typed.CoreV1().ServiceAccounts("edge").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			require.NoError(t, err)
			_, err = f.Typed.CoreV1().Pods("edge").Create(t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio": "edge"}},
				Spec:       corev1.PodSpec{ServiceAccountName: name, Containers: []corev1.Container{{Name: "istio-proxy", Image: "proxy", Args: args}}},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, f.annotate("cart", "*"))
		all := named("*")
		all["notPrincipals"] = []any{"*/ns/edge/sa/router"}
		f.source("cart", all)
		require.NoError(t, f.annotate("cart", "edge"))
		all["principals"] = []any{"cluster.local/ns/edge/sa/*"}
		f.source("cart", all)
		require.NoError(t, f.annotate("cart", "batch, edge/router"))
		f.gone("cart")
		f.told("cart", "InternalCallersRefused: Service shop/cart asks for callers inside the mesh, but edge/router is the identity of an ingress gateway")
		require.NoError(t, f.annotate("cart", "edge/application"))
		all["principals"] = []any{"cluster.local/ns/edge/sa/application"}
		f.source("cart", all)
		require.NoError(t, f.Typed.CoreV1().Pods("edge").Delete(t.Context(), "router", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
		f.source("cart", named("cluster.local/ns/edge/sa/application"))
	})

	t.Run("the annotation of the Namespace holds where the Service says nothing", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.service("quiet", nil)
		f.apirule("quiet", "quiet")
		_, err := f.Typed.CoreV1().Namespaces().Patch(t.Context(), shop, types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+key+`":"audit"}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		f.source("quiet", named("cluster.local/ns/audit/sa/*"))
		f.source("cart", named("cluster.local/ns/edge/sa/application"))
	})

	t.Run("a policy takes it away", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: closed}, spec: {mode: Audit, match: {hosts: [quiet.kyma.example.com]}, internalCallers: Forbidden}}`)
		f.gone("quiet")
		f.told("quiet", "InternalCallersRefused: Namespace shop asks for callers inside the mesh, but ExtAuthPolicy closed forbids callers inside the mesh")
		f.Eventually("admission knows the policy", func(context.Context) (string, bool) {
			err := f.annotate("quiet", "audit") //nolint:contextcheck // the fixture has it
			return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "[InternalCallersForbidden]")
		})
		f.source("cart", named("cluster.local/ns/edge/sa/application"))
		require.NoError(t, f.Untyped.Resource(schema.GroupVersionResource{Group: "extauth-guard.io", Version: "v1alpha1", Resource: "extauthpolicies"}).Delete(t.Context(), "closed", metav1.DeleteOptions{}))
		f.source("quiet", named("cluster.local/ns/audit/sa/*"))
	})

	t.Run("a policy of somebody else is never taken over", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		foreign := f.Apply(`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: internal-callers-foreign, namespace: shop, labels: {app.kubernetes.io/managed-by: extauth-guard}}, spec: {action: DENY, rules: [{}]}}`)
		f.service("foreign", map[string]string{key: "*"})
		f.apirule("foreign", "foreign")
		f.told("foreign", "there is an AuthorizationPolicy internal-callers-foreign that does not belong to the Service")
		require.NoError(t, f.annotate("foreign", nil))
		_, err := f.Typed.CoreV1().Namespaces().Patch(t.Context(), shop, types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+key+`":null}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		f.gone("quiet")
		left, err := f.policies().Get(t.Context(), "internal-callers-foreign", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, foreign.GetResourceVersion(), left.GetResourceVersion())
	})

	t.Run("it goes with the last APIRule and with the annotation", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.apirule("second", "cart")
		require.NoError(t, f.APIRules(shop).Delete(t.Context(), "cart", metav1.DeleteOptions{}))
		f.source("cart", named("cluster.local/ns/edge/sa/application"))
		require.NoError(t, f.APIRules(shop).Delete(t.Context(), "second", metav1.DeleteOptions{}))
		f.gone("cart")
		f.apirule("third", "cart")
		f.source("cart", named("cluster.local/ns/edge/sa/application"))
		require.NoError(t, f.annotate("cart", nil))
		f.gone("cart")
		f.told("cart", "InternalCallersRemoved: the AuthorizationPolicy for callers inside the mesh was removed: ")
	})
}
