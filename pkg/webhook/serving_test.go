// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/webhook/admission/metrics"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// handling is a handler that is a function.
type handling func(context.Context, webhook.Request) admission.Response

func (h handling) Handle(ctx context.Context, req webhook.Request) admission.Response {
	return h(ctx, req)
}

// Every answer is counted, whatever it is.
func TestEveryAnswerIsCounted(t *testing.T) {
	asks := func(object string) string {
		return string(apiruleRequest(admissionv1.Create, object, "").review(t))
	}
	right := asks(rules("", good))
	panics := handling(func(context.Context, webhook.Request) admission.Response { panic("a fault") })
	cases := map[string]struct {
		handler   webhook.Handler // nil is the validating webhook of APIRules
		body      io.Reader
		kind      string // "" is application/json
		length    int64  // 0 is that of the body
		ended     bool   // the client is gone
		code      int32
		says      string
		decision  string
		operation string // "" if it could not be read
		noUID     bool
	}{
		"admitted":                 {body: strings.NewReader(right), code: 200, decision: "allowed", operation: "CREATE"},
		"refused":                  {body: strings.NewReader(asks(rules("", typo))), code: 422, decision: "denied", operation: "CREATE"},
		"an object that is a list": {body: strings.NewReader(asks(`[]`)), code: 400, decision: "error", operation: "CREATE"},
		"a handler panics":         {handler: panics, body: strings.NewReader(right), code: 500, says: "panic: a fault", decision: "error", operation: "CREATE"},
		"not JSON":                 {body: strings.NewReader("hello"), code: 400, says: "decoding the AdmissionReview", decision: "error", noUID: true},
		"not UTF-8": {
			body: strings.NewReader(strings.Replace(right, `"web"`, "\"w\xffb\"", 1)), code: 400, says: "the body is not UTF-8", decision: "error", noUID: true,
		},
		"a key twice": {
			body: strings.NewReader(strings.Replace(right, `"operation":"CREATE"`, `"operation":"CREATE","operation":"DELETE"`, 1)), code: 400, says: `duplicate field "request.operation"`, decision: "error", operation: "DELETE",
		},
		"an operation that does not exist": {
			body: strings.NewReader(strings.Replace(right, "CREATE", "CREA[E", 1)), code: 400, says: `the operation "CREA[E" does not exist`, decision: "error",
		},
		"another content type":   {body: strings.NewReader(right), kind: "text/plain", code: 415, decision: "error", noUID: true},
		"a large body":           {body: io.MultiReader(strings.NewReader(`{"a":"`), bytes.NewReader(bytes.Repeat([]byte("a"), 7<<20))), length: -1, code: 413, says: "the body is larger than 7340032 bytes", decision: "error", noUID: true},
		"very many values":       {body: strings.NewReader("[" + strings.Repeat("0,", 200_000) + "0]"), code: 413, says: "the review has more than 200000 values", decision: "error", noUID: true},
		"a body that breaks off": {body: iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(right))), length: -1, code: 400, says: "reading the body", decision: "error", noUID: true},
		"a client that is gone":  {body: strings.NewReader(right), ended: true, code: 503, decision: "error", noUID: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			measured, err := metrics.NewAdmission(registry)
			require.NoError(t, err)
			handler := tc.handler
			if handler == nil {
				handler = handlers(decider(world()))[webhook.ValidateAPIRule]
			}
			served := &webhook.Endpoint{Hook: webhook.ValidateAPIRule, Handler: handler, Limits: webhook.NewLimits(0), Metrics: measured, Now: time.Now, Log: logr.Discard()}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.ended {
				cancel()
			}
			response := ask(ctx, t, served, tc.body, tc.kind, tc.length)
			assert.Equal(t, tc.code, response.Result.Code, response.Result.Message)
			assert.Contains(t, response.Result.Message, tc.says)
			assert.Equal(t, tc.code == 200, response.Allowed)
			if !tc.noUID {
				assert.Equal(t, "4711", string(response.UID), "an answer without the UID of the request would be another error for the API server")
			}
			assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_admission_requests_total Admission requests answered, by webhook, operation and decision (allowed, denied or error).
# TYPE extauth_guard_admission_requests_total counter
extauth_guard_admission_requests_total{decision="`+tc.decision+`",operation="`+tc.operation+`",webhook="validate.apirule.extauth-guard.io"} 1
`), "extauth_guard_admission_requests_total"))
		})
	}
}

// ask sends a body without a network.
func ask(ctx context.Context, t *testing.T, served http.Handler, body io.Reader, kind string, length int64) *admissionv1.AdmissionResponse {
	t.Helper()
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
	request.Header.Set("Content-Type", "application/json")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if length != 0 {
		request.ContentLength = length
	}
	recorder := httptest.NewRecorder()
	served.ServeHTTP(recorder, request)
	require.Equal(t, http.StatusOK, recorder.Code)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &review))
	require.NotNil(t, review.Response)
	return review.Response
}

func TestAPanicIsLoggedAndCountedAsControllerRuntimeDoes(t *testing.T) {
	var log strings.Builder
	server := endpoint(handling(func(context.Context, webhook.Request) admission.Response { panic("a fault") }),
		logr.FromSlogHandler(slog.NewTextHandler(&log, nil)))
	before := testutil.ToFloat64(ctrlmetrics.WebhookPanics.WithLabelValues())
	ask(t.Context(), t, server, bytes.NewReader(apiruleRequest(admissionv1.Create, rules("", good), "").review(t)), "", 0)
	assert.Contains(t, log.String(), "serving_test.go", "the log says where")
	assert.InDelta(t, before+1, testutil.ToFloat64(ctrlmetrics.WebhookPanics.WithLabelValues()), 0)
}

// stalled is a body that does not come.
type stalled struct {
	asked chan struct{}
	come  chan struct{}
}

func (s stalled) Read([]byte) (int, error) {
	close(s.asked)
	<-s.come
	return 0, io.ErrUnexpectedEOF
}

// A client that floods the webhook with bodies takes half of the room, and not what
// others need.
func TestABodyFloodLeavesRoomForOthers(t *testing.T) {
	registry := prometheus.NewRegistry()
	measured, err := metrics.NewAdmission(registry)
	require.NoError(t, err)
	served := &webhook.Endpoint{
		Hook: webhook.ValidateAPIRule, Handler: handlers(decider(world()))[webhook.ValidateAPIRule], Limits: webhook.NewLimits(0), Metrics: measured, Now: time.Now,
	}
	send := func(from string, body io.Reader, length int64) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
		request.Header.Set("Content-Type", "application/json")
		request.RemoteAddr, request.ContentLength = from, length
		recorder := httptest.NewRecorder()
		served.ServeHTTP(recorder, request)
		return recorder
	}
	slow := stalled{asked: make(chan struct{}), come: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		send("10.0.0.1:1", slow, 7<<20)
	}()
	<-slow.asked

	unread := iotest.ErrReader(io.ErrNoProgress)
	refused := send("10.0.0.1:2", unread, 7<<20)
	assert.Equal(t, http.StatusTooManyRequests, refused.Code)
	assert.Equal(t, "1", refused.Header().Get("Retry-After"))
	assert.Contains(t, refused.Body.String(), "there is no room for a body of 7340032 bytes now; try again")

	right := apiruleRequest(admissionv1.Create, rules("", good), "").review(t)
	assert.Equal(t, http.StatusOK, send("10.0.0.2:1", bytes.NewReader(right), int64(len(right))).Code)
	close(slow.come)
	<-ended
	assert.Equal(t, http.StatusOK, send("10.0.0.1:2", strings.NewReader("{}"), 2).Code, "the room is given back")
	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_admission_requests_total Admission requests answered, by webhook, operation and decision (allowed, denied or error).
# TYPE extauth_guard_admission_requests_total counter
extauth_guard_admission_requests_total{decision="allowed",operation="CREATE",webhook="validate.apirule.extauth-guard.io"} 1
extauth_guard_admission_requests_total{decision="error",operation="",webhook="validate.apirule.extauth-guard.io"} 3
`), "extauth_guard_admission_requests_total"))
}

// One deadline bounds all live reads of one admission.
func TestLiveReadsHaveOneDeadline(t *testing.T) {
	var deadline time.Time
	var limited bool
	served := endpoint(handling(func(ctx context.Context, _ webhook.Request) admission.Response {
		deadline, limited = ctx.Deadline()
		return admission.Allowed("")
	}), logr.Discard())
	right := apiruleRequest(admissionv1.Create, rules("", good), "").review(t)
	ask(t.Context(), t, served, bytes.NewReader(right), "", 0)
	assert.False(t, limited)
	served.LiveReads = time.Minute
	begun := time.Now()
	ask(t.Context(), t, served, bytes.NewReader(right), "", 0)
	require.True(t, limited)
	assert.WithinRange(t, deadline, begun, time.Now().Add(time.Minute))
}
