// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	m.Run()
}

// world is one in which oauth2-proxy and corp are registered and nothing is to be
// warned about.
func world() *facts.World {
	w := facts.NewWorld("nobody has looked yet")
	w.SetIstio(istio.View{
		Namespace: "kyma-system", Name: "default", Created: "2026-01-01T00:00:00Z",
		Authorizers: []istio.Authorizer{
			{Index: 0, Name: "oauth2-proxy", Service: "oauth2-proxy.auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original="},
			{Index: 1, Name: "corp", Service: "corp.auth.svc.cluster.local", Port: 80, PathPrefix: "/verify?original="},
		},
	})
	for _, name := range []string{"oauth2-proxy", "corp"} {
		service := types.NamespacedName{Namespace: "auth", Name: name}
		w.SetService(service, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": name}), Ports: []int32{80}})
		w.SetEndpoints(service, name, true)
	}
	w.SetService(types.NamespacedName{Namespace: "shop", Name: "web"}, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "web"}), Ports: []int32{80}})
	w.SetNamespace("shop", policy.Namespace{Labels: map[string]string{"istio-injection": "enabled"}})
	return w
}

func decider(source facts.Source) webhook.Decider {
	return webhook.Decider{Source: source, Settings: policy.DefaultSettings, Now: func() time.Time { return time.Time{} }}
}

// handlers are all webhooks over one decider.
func handlers(of webhook.Decider) map[webhook.Hook]webhook.Handler {
	return map[webhook.Hook]webhook.Handler{
		webhook.MutateAPIRule:     &webhook.Injector{Decider: of},
		webhook.ValidateAPIRule:   &webhook.Validator{Decider: of},
		webhook.ValidateIstio:     &webhook.IstioGuard{Decider: of},
		webhook.ValidateService:   &webhook.AnnotationGuard{Decider: of, Hook: webhook.ValidateService, Kind: annotation.Service, Resource: "services"},
		webhook.ValidateNamespace: &webhook.AnnotationGuard{Decider: of, Hook: webhook.ValidateNamespace, Kind: annotation.Namespace, Resource: "namespaces"},
	}
}

// endpoint serves a handler without limits and metrics.
func endpoint(handler webhook.Handler, log logr.Logger) *webhook.Endpoint {
	return &webhook.Endpoint{Handler: handler, Now: time.Now, Log: log}
}

// post sends a body to a handler as the API server does, and returns its answer.
func post(t *testing.T, handler webhook.Handler, body io.Reader) *admissionv1.AdmissionResponse {
	t.Helper()
	server := httptest.NewServer(endpoint(handler, logr.Discard()))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := server.Client().Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&review))
	require.NotNil(t, review.Response)
	return review.Response
}

// request is an admission request whose objects are YAML.
type request struct {
	group, version, kind, resource, sub string
	operation                           admissionv1.Operation
	namespace, name                     string
	object, old                         string
	dryRun                              bool
}

func apiruleRequest(operation admissionv1.Operation, object, old string) request {
	return request{
		group: "gateway.kyma-project.io", version: "v2", kind: "APIRule", resource: "apirules",
		operation: operation, namespace: "shop", name: "web", object: object, old: old,
	}
}

func istioRequest(operation admissionv1.Operation, object, old string) request {
	return request{
		group: "operator.kyma-project.io", version: "v1alpha2", kind: "Istio", resource: "istios",
		operation: operation, namespace: "kyma-system", name: "default", object: object, old: old,
	}
}

// review renders the raw AdmissionReview.
func (r request) review(t testing.TB) []byte {
	t.Helper()
	content := map[string]any{
		"uid":       "4711",
		"dryRun":    r.dryRun,
		"kind":      map[string]any{"group": r.group, "version": r.version, "kind": r.kind},
		"resource":  map[string]any{"group": r.group, "version": r.version, "resource": r.resource},
		"operation": r.operation, "namespace": r.namespace, "name": r.name,
		"userInfo": map[string]any{"username": "jane"},
	}
	if r.sub != "" {
		content["subResource"] = r.sub
	}
	for key, text := range map[string]string{"object": r.object, "oldObject": r.old} {
		if text != "" {
			content[key] = json.RawMessage(asJSON(t, text))
		}
	}
	raw, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": content})
	require.NoError(t, err)
	return raw
}

// send sends a request to the webhook of that name.
func (r request) send(t *testing.T, of webhook.Decider, hook webhook.Hook) *admissionv1.AdmissionResponse {
	t.Helper()
	response := post(t, handlers(of)[hook], bytes.NewReader(r.review(t)))
	require.Equal(t, types.UID("4711"), response.UID)
	return response
}

func asJSON(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err, text)
	return raw
}

// patched applies the patch of an answer to an object, and returns JSON.
func patched(t *testing.T, response *admissionv1.AdmissionResponse, object string) string {
	t.Helper()
	require.True(t, response.Allowed, "%v", response.Result)
	if response.Patch == nil {
		return string(asJSON(t, object))
	}
	require.NotNil(t, response.PatchType)
	require.Equal(t, admissionv1.PatchTypeJSONPatch, *response.PatchType)
	patch, err := jsonpatch.DecodePatch(response.Patch)
	require.NoError(t, err)
	result, err := patch.Apply(asJSON(t, object))
	require.NoError(t, err, "%s", response.Patch)
	return string(result)
}
