// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"unicode/utf8"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// FuzzReview posts any bytes as a review to each webhook. Whatever they are, the
// answer is a review and no panic, a second one is the same, a patch applies to
// the object that was sent, and what is patched is asked for nothing more.
func FuzzReview(f *testing.F) {
	for _, each := range []request{
		apiruleRequest(admissionv1.Create, `{metadata: {name: web, namespace: shop, annotations: {extauth-guard.io/inject: "true"}}, spec: {service: {name: web}, rules: [{path: /*, methods: [GET]}]}}`, ""),
		apiruleRequest(admissionv1.Update, `{metadata: {name: web, namespace: shop}, spec: {rules: [{noAuth: true}, {extAuth: {authorizers: [crop]}}]}}`, `{metadata: {name: web, namespace: shop}, spec: {rules: [{jwt: {a: 12345678901234567}}]}}`),
		apiruleRequest(admissionv1.Delete, "", `{metadata: {name: web, namespace: shop}}`),
		istioRequest(admissionv1.Update, `{metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [{name: corp, port: "80"}]}}}`, `{spec: {config: {authorizers: [{name: oauth2-proxy}]}}}`),
		{version: "v1", kind: "Service", resource: "services", operation: admissionv1.Create, namespace: "shop", name: "web", object: `{metadata: {name: web, annotations: {extauth-guard.io/inject: ja}}}`},
		{version: "v1", kind: "Namespace", resource: "namespaces", operation: admissionv1.Update, name: "shop", object: `{metadata: {name: shop, annotations: {extauth-guard.io/: "x"}}}`, old: `{metadata: {name: shop}}`},
	} {
		f.Add(each.review(f))
	}
	for _, raw := range []string{
		"{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"1\",\"operation\":\"CREA[E\",\"object\":{\"a\":\"\xff\"}}}",
		``, `{}`, `[]`, `{"request":null}`, `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`, `{"request":{"uid":"1","object":7}}`,
	} {
		f.Add([]byte(raw))
	}
	all := handlers(decider(world()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for hook, handler := range all {
			first := served(t, handler, raw)
			require.Empty(t, cmp.Diff(first, served(t, handler, raw)), "%s", hook)
			if first.Result != nil {
				require.NotContains(t, first.Result.Message, "panic", "%s", hook)
			}
			var sent admissionv1.AdmissionReview
			if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &sent) != nil || sent.Request == nil || sent.Kind != "AdmissionReview" {
				require.False(t, first.Allowed, "%s: what cannot be read is never allowed", hook)
				continue
			}
			if sent.APIVersion != "admission.k8s.io/v1" {
				require.False(t, first.Allowed, "%s: another version is never allowed", hook)
				continue
			}
			if !utf8.Valid(raw) || !slices.Contains([]admissionv1.Operation{"CREATE", "UPDATE", "DELETE", "CONNECT"}, sent.Request.Operation) {
				require.False(t, first.Allowed, "%s: what no API server sends is never allowed", hook)
			}
			if !utf8.Valid(raw) {
				continue // its UID is not read
			}
			require.Equal(t, sent.Request.UID, first.UID)
			if len(first.Patch) > 0 {
				requireComplete(t, sent, first.Patch)
			}
		}
	})
}

// requireComplete applies the patch to what was sent, and insists that the result
// is in need of no other.
func requireComplete(t *testing.T, sent admissionv1.AdmissionReview, patch []byte) {
	t.Helper()
	decoded, err := jsonpatch.DecodePatch(patch)
	require.NoError(t, err)
	sent.Request.Object.Raw, err = decoded.Apply(sent.Request.Object.Raw)
	require.NoError(t, err, "%s", patch)
	again, err := json.Marshal(sent)
	require.NoError(t, err)
	answer := served(t, handlers(decider(world()))[webhook.MutateAPIRule], again)
	require.Empty(t, answer.Patch, "a patched object needs nothing more")
}

// served posts without a network.
func served(t *testing.T, handler webhook.Handler, raw []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	asked := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(raw))
	asked.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	endpoint(handler, logr.Discard()).ServeHTTP(recorder, asked)
	require.Equal(t, http.StatusOK, recorder.Code)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &review), "%s", recorder.Body)
	require.NotNil(t, review.Response)
	return review.Response
}

// FuzzAdmitted sends any APIRule, with anything said on its Service and its
// Namespace, through both webhooks. What they admit has nothing that they would
// refuse when it is looked at again, which is what the audit does, and no rule is
// less protected than it was sent.
func FuzzAdmitted(f *testing.F) {
	for _, object := range []string{
		`{"metadata":{"name":"web","namespace":"shop","annotations":{"extauth-guard.io/inject":"true"}},"spec":{"service":{"name":"web"},"rules":[{"path":"/*","methods":["GET"]},{"noAuth":true}]}}`,
		`{"metadata":{"name":"web","namespace":"shop"},"spec":{"service":{"name":"web"},"rules":[{"jwt":{"a":1}},{"extAuth":{"authorizers":["corp"]}}]}}`,
		`{"metadata":{"name":"web","namespace":"shop","annotations":{"extauth-guard.io/replace":"noAuth,jwt"}},"spec":{"rules":[{"service":{"name":"web"},"noAuth":true},{"service":{"name":"other","namespace":"b"},"jwt":{}}]}}`,
	} {
		for _, says := range []string{"", "true", "false", "ja"} {
			f.Add([]byte(object), says, "")
			f.Add([]byte(object), "", says)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, service, namespace string) {
		if !json.Valid(raw) {
			t.Skip("no request has such an object")
		}
		known := world()
		say := func(value string) map[string]string {
			if value == "" {
				return nil
			}
			return map[string]string{"extauth-guard.io/inject": value}
		}
		known.SetService(types.NamespacedName{Namespace: "shop", Name: "web"}, policy.Service{Annotations: say(service), Selector: policy.SelectorOf(map[string]string{"app": "web"}), Ports: []int32{80}})
		known.SetNamespace("shop", policy.Namespace{Annotations: say(namespace), Labels: map[string]string{"istio-injection": "enabled"}})
		of := decider(known)
		review := func(object []byte) []byte {
			sent, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
				UID: "1", Operation: admissionv1.Create, Namespace: "shop", Name: "web", Object: runtime.RawExtension{Raw: object},
				Resource: metav1.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"},
			}})
			require.NoError(t, err)
			return sent
		}
		answer := served(t, &webhook.Injector{Decider: of}, review(raw))
		stored := raw
		if len(answer.Patch) > 0 {
			patch, err := jsonpatch.DecodePatch(answer.Patch)
			require.NoError(t, err)
			stored, err = patch.Apply(raw)
			require.NoError(t, err, "%s", answer.Patch)
		}
		if !served(t, &webhook.Validator{Decider: of}, review(stored)).Allowed {
			return
		}
		var before, after map[string]any
		require.NoError(t, json.Unmarshal(raw, &before))
		require.NoError(t, json.Unmarshal(stored, &after))
		sent, view := apirule.Parse(before, "shop"), apirule.Parse(after, "shop")
		require.False(t, policy.Denies(policy.Check(view, of.Source.Facts(t.Context(), view), of.Settings())), "admitted, and to be reported")
		require.Len(t, view.Rules, len(sent.Rules))
		for i, rule := range sent.Rules {
			require.True(t, view.Rules[i].Protected() || !rule.Protected(), "rule %d was protected", i)
		}
	})
}
