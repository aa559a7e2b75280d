// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/webhook/admission/metrics"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
)

// Handler answers requests.
type Handler interface {
	Handle(ctx context.Context, req Request) admission.Response
}

// usualBody is a size that few bodies exceed, in bytes. Buffers that have become
// larger are not kept.
const usualBody = 64 << 10

// Endpoint serves one webhook over HTTP. Handler and Now must be set. It may serve
// several requests at once and must not be copied.
//
// A handler that panics is logged and answered with 500, what cannot be read with
// 400, 413 or 415, and what there is no room for with 429; the API server then does
// what the failure policy says, after it has tried again at a 429. Every answer is
// counted.
//
// It does what controller-runtime's admission.Webhook does, for one version of
// AdmissionReview: that one decodes a body twice to learn the version, and copies
// its objects, to be decoded once more. This is a third of what a request costs.
type Endpoint struct {
	Hook    Hook
	Handler Handler
	// Limits are shared by all endpoints of a process; nil sets none.
	Limits *Limits
	// LiveReads is how long all live reads of one admission may take together; 0
	// sets no limit.
	LiveReads time.Duration
	// Metrics may be nil: nothing is measured.
	Metrics *metrics.Admission
	// Now tells the time, for measuring.
	Now func() time.Time
	Log logr.Logger

	// bodies has buffers for bodies. What is decoded refers to nothing in them.
	bodies sync.Pool
}

// retryBody is after how many seconds a client may send a body again for which
// there was no room. An API server gives up after three.
const retryBody = 1

// ServeHTTP answers one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response := e.answer(r)
	if response.Result.Code == http.StatusTooManyRequests {
		// Not a review: a client of Kubernetes waits and tries again only if the HTTP
		// answer itself asks for it (k8s.io/client-go, rest/with_retry.go).
		w.Header().Set("Retry-After", strconv.Itoa(retryBody))
		http.Error(w, response.Result.Message, http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: reviewKind},
		Response: &response.AdmissionResponse,
	})
	if err != nil { // the connection is broken
		e.Log.V(1).Info("Could not send an answer", "reason", err.Error())
	}
}

// answer answers a request, and counts the answer whatever it is.
func (e *Endpoint) answer(r *http.Request) (response admission.Response) {
	var req Request
	start := e.Now()
	defer func() {
		if cause := recover(); cause != nil {
			ctrlmetrics.WebhookPanics.WithLabelValues().Inc()
			e.Log.Error(fmt.Errorf("panic: %v", cause), "Answering a request", "uid", req.UID, "stack", string(debug.Stack()))
			response = admission.Errored(http.StatusInternalServerError, fmt.Errorf("answering the request: panic: %v", cause))
		}
		if response.Result == nil {
			response.Result = &metav1.Status{Code: http.StatusOK}
		}
		response.UID = req.UID
		e.Metrics.Request(string(e.Hook), measuredOperation(req), decision(response), e.Now().Sub(start))
	}()
	body, refusal := e.read(r)
	if refusal != nil {
		return *refusal
	}
	defer body.done()
	return e.decide(r.Context(), body.Bytes(), &req)
}

// measuredOperation returns the operation of a request for a metric; "" if it could
// not be read. Anybody may send any text, and each would be a time series.
func measuredOperation(req Request) string {
	if slices.Contains(operations(), req.Operation) {
		return string(req.Operation)
	}
	return ""
}

// decide decodes a review into req and has the handler answer it.
func (e *Endpoint) decide(ctx context.Context, review []byte, req *Request) admission.Response {
	values := countValues(review)
	if values > maxValues {
		return *refused(http.StatusRequestEntityTooLarge, "the review has more than %d values", maxValues)
	}
	if err := e.Limits.takeValues(ctx, values); err != nil {
		return *refused(http.StatusServiceUnavailable, "waiting for room to decode the review: %w", err)
	}
	defer e.Limits.giveValues(values)
	parsed, err := parseReview(review)
	*req = parsed
	if err != nil {
		return refuse(err)
	}
	if err := ctx.Err(); err != nil { // nobody waits for the answer
		return *refused(http.StatusServiceUnavailable, "answering the request: %w", err)
	}
	if e.LiveReads > 0 {
		limited, cancel := context.WithTimeout(ctx, e.LiveReads)
		defer cancel()
		ctx = limited
	}
	return e.Handler.Handle(ctx, *req)
}

func decision(response admission.Response) string {
	switch {
	case response.Allowed:
		return "allowed"
	case response.Result != nil && response.Result.Details != nil:
		return "denied"
	}
	return "error"
}

// body is what a client sent.
type body struct {
	*bytes.Buffer
	// done gives back what the body took. Its bytes must not be used any more.
	done func()
}

// read reads the body of a request, or says why not.
func (e *Endpoint) read(r *http.Request) (body, *admission.Response) {
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		return body{}, refused(http.StatusUnsupportedMediaType, "the content type is %q, it has to be application/json", kind)
	}
	size := r.ContentLength
	switch {
	case size > maxBody:
		return body{}, refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	case size < 0: // it does not say
		size = maxBody
	}
	client := clientOf(r)
	if !e.Limits.takeBody(client, size) {
		return body{}, refused(http.StatusTooManyRequests, "there is no room for a body of %d bytes now; try again", size)
	}
	buffer, reused := e.bodies.Get().(*bytes.Buffer)
	if !reused {
		buffer = new(bytes.Buffer)
	}
	done := func() {
		e.Limits.giveBody(client, size)
		if buffer.Cap() <= usualBody {
			buffer.Reset()
			e.bodies.Put(buffer)
		}
	}
	// It grows with what arrives, and never on the word of a client.
	read, err := buffer.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err == nil && read <= maxBody {
		return body{buffer, done}, nil
	}
	done()
	if read > maxBody {
		return body{}, refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	return body{}, refused(http.StatusBadRequest, "reading the body: %w", err)
}

// clientOf returns the address of a client without its port.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func refused(code int32, format string, args ...any) *admission.Response {
	response := admission.Errored(code, fmt.Errorf(format, args...))
	return &response
}
