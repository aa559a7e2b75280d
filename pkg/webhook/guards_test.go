// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

func TestBodiesThatAreNoRequest(t *testing.T) {
	const (
		limit     = 7 << 20
		notReview = "the body is not an AdmissionReview of admission.k8s.io/v1 with a request; only an API server should call this webhook"
	)
	cases := map[string]struct {
		body io.Reader
		code int32
		want string
	}{
		"not JSON":               {strings.NewReader("hello"), 400, "decoding the AdmissionReview: invalid character"},
		"not an AdmissionReview": {strings.NewReader(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`), 400, notReview},
		"an AdmissionReview without a request": {
			strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), 400, notReview,
		},
		"nothing":         {strings.NewReader(""), 400, "decoding the AdmissionReview: unexpected end of JSON input"},
		"more than 7 MiB": {io.MultiReader(strings.NewReader(`{"a":"`), bytes.NewReader(bytes.Repeat([]byte("a"), limit))), 413, "the body is larger than 7340032 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			response := post(t, handlers(decider(world()))[webhook.ValidateAPIRule], tc.body)
			require.False(t, response.Allowed)
			assert.Equal(t, tc.code, response.Result.Code)
			assert.Contains(t, response.Result.Message, tc.want)
		})
	}
}

func TestRequestsThatCannotBeUnderstood(t *testing.T) {
	pods := request{version: "v1", kind: "Pod", resource: "pods", operation: admissionv1.Create, namespace: "shop", name: "web", object: "{metadata: {name: web}}"}
	status := apiruleRequest(admissionv1.Update, rules("", good), rules("", good))
	status.sub = "status"
	foreign := apiruleRequest(admissionv1.Create, rules("", good), "")
	foreign.group = "example.com"
	cases := map[string]struct {
		request request
		hooks   []webhook.Hook
		want    string
	}{
		"another resource": {
			pods,
			[]webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule},
			`this webhook is for apirules.gateway.kyma-project.io and got a request for "pods.", subresource ""; correct the rules of the webhook configuration`,
		},
		"another resource, to the guard of Services": {pods, []webhook.Hook{webhook.ValidateService}, `this webhook is for services. and got a request for "pods."`},
		"another resource, to the guard of the Istio CR": {
			pods, []webhook.Hook{webhook.ValidateIstio}, "this webhook is for istios.operator.kyma-project.io",
		},
		"another group": {foreign, []webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule}, `"apirules.example.com"`},
		"a subresource": {status, []webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule}, `subresource "status"`},
		"no object": {
			apiruleRequest(admissionv1.Create, "", ""),
			[]webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule},
			"reading request.object: it is empty",
		},
		"an object that is a list": {
			apiruleRequest(admissionv1.Create, "[]", ""),
			[]webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule},
			"reading the request: json: cannot unmarshal array",
		},
		"an old object that is a text": {
			apiruleRequest(admissionv1.Update, rules("annotations: {extauth-guard.io/inject: maybe}", good), `"text"`),
			[]webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule},
			"reading request.oldObject: json: cannot unmarshal string",
		},
		"a deletion without the old object": {
			istioRequest(admissionv1.Delete, "", ""), []webhook.Hook{webhook.ValidateIstio}, "reading request.oldObject: it is empty",
		},
	}
	for name, tc := range cases {
		for _, hook := range tc.hooks {
			t.Run(name+"/"+string(hook), func(t *testing.T) {
				response := tc.request.send(t, decider(world()), hook)
				require.False(t, response.Allowed)
				assert.Equal(t, int32(400), response.Result.Code)
				assert.Contains(t, response.Result.Message, tc.want)
				assert.Nil(t, response.Patch)
			})
		}
	}
}

func TestAnnotationGuards(t *testing.T) {
	annotated := func(annotations string) string {
		return `{metadata: {name: web, annotations: {` + annotations + `}}}`
	}
	cases := map[string]struct {
		object, old string
		want        string // "" is allowed
	}{
		"nothing of ours":        {annotated(`example.com/a: b`), "", ""},
		"what parses":            {annotated(`extauth-guard.io/inject: "true"`), "", ""},
		"a value that does not":  {annotated(`extauth-guard.io/inject: "1"`), "", `metadata.annotations[extauth-guard.io/inject]: Invalid value: "1": must be "true" or "false" [InvalidAnnotation]`},
		"a fault of before":      {annotated(`extauth-guard.io/inject: "1", example.com/a: b`), annotated(`extauth-guard.io/inject: "1"`), ""},
		"another fault, instead": {annotated(`extauth-guard.io/inject: "2"`), annotated(`extauth-guard.io/inject: "1"`), `Invalid value: "2"`},
	}
	for _, kind := range []request{
		{version: "v1", kind: "Service", resource: "services", namespace: "shop", name: "web"},
		{version: "v1", kind: "Namespace", resource: "namespaces", name: "web"},
	} {
		hook := map[string]webhook.Hook{"Service": webhook.ValidateService, "Namespace": webhook.ValidateNamespace}[kind.kind]
		for name, tc := range cases {
			t.Run(kind.kind+"/"+name, func(t *testing.T) {
				one := kind
				one.operation, one.object, one.old = admissionv1.Create, tc.object, tc.old
				if tc.old != "" {
					one.operation = admissionv1.Update
				}
				response := one.send(t, decider(world()), hook)
				if tc.want == "" {
					assert.True(t, response.Allowed, "%v", response.Result)
					return
				}
				require.False(t, response.Allowed)
				assert.Equal(t, int32(422), response.Result.Code)
				assert.Equal(t, kind.kind, response.Result.Details.Kind)
				assert.Contains(t, response.Result.Message, tc.want)
			})
		}
	}
}

func TestIstioGuard(t *testing.T) {
	used := world()
	view := apirule.View{Namespace: "shop", Name: "cart", Rules: []apirule.Rule{{Strategy: apirule.ExtAuth, Authorizers: []string{"corp"}}}}
	view.Rules[0].Service.Namespace, view.Rules[0].Service.Name = "shop", "web"
	used.SetAPIRule(view)
	cr := func(annotations, authorizers string) string {
		return `{metadata: {name: default, namespace: kyma-system, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {` + annotations + `}},
			spec: {config: {authorizers: [` + authorizers + `]}}}`
	}
	const (
		proxy   = `{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/v?o="}`
		corp    = `{name: corp, service: corp.auth.svc.cluster.local, port: 80, pathPrefix: "/v?o="}`
		garbage = `7, {name: 8}, {}`
	)
	cases := map[string]struct {
		operation   admissionv1.Operation
		object, old string
		want        string // "" is allowed
	}{
		"an authorizer is added":                  {admissionv1.Update, cr("", proxy+", "+corp), cr("", proxy), ""},
		"one that nobody uses is removed":         {admissionv1.Update, cr("", corp), cr("", proxy+", "+corp), ""},
		"one in use is removed":                   {admissionv1.Update, cr("", proxy), cr("", proxy+", "+corp), `spec.config.authorizers: Invalid value: "corp": the authorizer is used by`},
		"one in use is removed on purpose":        {admissionv1.Update, cr("extauth-guard.io/allow-removal: corp", proxy), cr("", proxy+", "+corp), ""},
		"the CR is deleted":                       {admissionv1.Delete, "", cr("", proxy+", "+corp), `metadata.name: Invalid value: "corp"`},
		"the CR is deleted on purpose":            {admissionv1.Delete, "", cr(`extauth-guard.io/allow-removal: "corp@2026-12-01T10:00:00Z"`, proxy+", "+corp), ""},
		"the CR is deleted, and was annotated":    {admissionv1.Delete, "", cr("extauth-guard.io/allow-removal: corp", proxy+", "+corp), `metadata.name: Invalid value: "corp"`},
		"a CR with garbage":                       {admissionv1.Create, cr("", garbage), "", "spec.config.authorizers[0]: Invalid value: \"\": must be an object with a name [AuthorizerInvalid]"},
		"garbage that was there":                  {admissionv1.Update, cr("", garbage+", "+corp), cr("", garbage+", "+corp+", "+proxy), ""},
		"authorizers that are a text are no list": {admissionv1.Create, `{metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: text}}}`, "", ""},
		"a spec that is a text":                   {admissionv1.Create, `{metadata: {name: default, namespace: kyma-system}, spec: text}`, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := decider(used)
			asked.Now = func() time.Time { return time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC) }
			response := istioRequest(tc.operation, tc.object, tc.old).send(t, asked, webhook.ValidateIstio)
			if tc.want == "" {
				assert.True(t, response.Allowed, "%v", response.Result)
				return
			}
			require.False(t, response.Allowed)
			assert.Equal(t, int32(422), response.Result.Code)
			assert.Contains(t, response.Result.Message, tc.want)
		})
	}

	// The API server gives no name with an object of a collection.
	t.Run("kubectl delete istios --all", func(t *testing.T) {
		collection := istioRequest(admissionv1.Delete, "", cr("", proxy+", "+corp))
		collection.name = ""
		response := collection.send(t, decider(used), webhook.ValidateIstio)
		require.False(t, response.Allowed)
		assert.Contains(t, response.Result.Message, `metadata.name: Invalid value: "corp"`)
	})

	t.Run("a removal on purpose is counted", func(t *testing.T) {
		registry := prometheus.NewRegistry()
		measured, err := metrics.NewAdmission(registry)
		require.NoError(t, err)
		measuring := decider(used)
		measuring.Metrics = measured
		removal := istioRequest(admissionv1.Update, cr("extauth-guard.io/allow-removal: corp", proxy), cr("", proxy+", "+corp))
		dry := removal
		dry.dryRun = true
		dry.send(t, measuring, webhook.ValidateIstio) // removes nothing
		denied := istioRequest(admissionv1.Update, cr("extauth-guard.io/allow-removal: corp", proxy+", "+proxy), cr("", proxy+", "+corp))
		require.False(t, denied.send(t, measuring, webhook.ValidateIstio).Allowed, "a duplicate")
		removal.send(t, measuring, webhook.ValidateIstio)
		count, err := testutil.GatherAndCount(registry, "extauth_guard_authorizer_removals_allowed_total")
		require.NoError(t, err)
		assert.Equal(t, 1, count)
		assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_authorizer_removals_allowed_total Authorizers in use that were removed from the Istio CR because its annotation allowed it.
# TYPE extauth_guard_authorizer_removals_allowed_total counter
extauth_guard_authorizer_removals_allowed_total 1
`), "extauth_guard_authorizer_removals_allowed_total"))
	})
}

func TestBodyIsReadAsSent(t *testing.T) {
	body := apiruleRequest(admissionv1.Create, rules("", typo), "").review(t)
	cases := map[string]struct {
		contentType string
		length      int64
		body        io.Reader
		code        int32
	}{
		"its length is known":           {"application/json", int64(len(body)), bytes.NewReader(body), 422},
		"its length is not known":       {"application/json", -1, iotest.OneByteReader(bytes.NewReader(body)), 422},
		"it is longer than it says":     {"application/json", 10, bytes.NewReader(body), 422},
		"it says that it is very large": {"application/json", 8 << 20, bytes.NewReader(body), 413},
		"it breaks off":                 {"application/json", -1, iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(body))), 400},
		"it is something else":          {"text/plain", int64(len(body)), bytes.NewReader(body), 415},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", tc.body)
			request.Header.Set("Content-Type", tc.contentType)
			request.ContentLength = tc.length
			recorder := httptest.NewRecorder()
			endpoint(handlers(decider(world()))[webhook.ValidateAPIRule], logr.Discard()).ServeHTTP(recorder, request)
			var review admissionv1.AdmissionReview
			require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &review))
			assert.Equal(t, tc.code, review.Response.Result.Code, review.Response.Result.Message)
		})
	}
}

// Buffers are used again, so requests of all kinds go to one server, several at a
// time.
func TestRequestsDoNotSeeEachOther(t *testing.T) {
	server := endpoint(handlers(decider(world()))[webhook.ValidateAPIRule], logr.Discard())
	fine := apiruleRequest(admissionv1.Create, rules("", good), "").review(t)
	kinds := []struct {
		body []byte
		code int32
		uid  bool
	}{
		{fine, 200, true},
		{apiruleRequest(admissionv1.Create, rules("", typo+", "+typo+", "+good), "").review(t), 422, true},
		{fine[:len(fine)/2], 400, false},
		{bytes.Repeat([]byte(" "), 100<<10), 400, false}, // larger than what is kept
	}
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := range 200 {
				kind, uid := kinds[(sender+i)%len(kinds)], fmt.Sprintf("%d-%d", sender, i)
				body := bytes.Replace(kind.body, []byte(`"4711"`), []byte(`"`+uid+`"`), 1)
				request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
				request.Header.Set("Content-Type", "application/json")
				recorder := httptest.NewRecorder()
				server.ServeHTTP(recorder, request)
				var review admissionv1.AdmissionReview
				if !assert.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &review)) {
					return
				}
				if kind.uid {
					assert.Equal(t, uid, string(review.Response.UID))
				}
				assert.Equal(t, kind.code, review.Response.Result.Code, review.Response.Result.Message)
			}
		})
	}
	senders.Wait()
}
