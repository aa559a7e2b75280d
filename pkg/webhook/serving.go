// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Handler answers requests.
type Handler interface {
	Handle(ctx context.Context, req Request) admission.Response
}

// maxBody is the largest body that is read, in bytes: the API server takes
// objects of up to 3 MiB, and a request has two (controller-runtime,
// pkg/webhook/admission/http.go).
const maxBody = 7 << 20

// usualBody is a size that few bodies exceed, in bytes. Buffers that have become
// larger are not kept.
const usualBody = 64 << 10

// Serving returns handler as something that a webhook server can serve. A
// handler that panics is logged and answered with 500, and what cannot be read
// with 400 or 413; the API server then does what the failure policy says.
//
// It does what controller-runtime's admission.Webhook does, for one version of
// AdmissionReview: that one decodes a body twice to learn the version, and copies
// its objects, to be decoded once more. This is a third of what a request costs.
func Serving(handler Handler, log logr.Logger) http.Handler {
	return &serving{handler: handler, log: log}
}

type serving struct {
	handler Handler
	log     logr.Logger
	// bodies has buffers for bodies. What is decoded refers to nothing in them.
	bodies sync.Pool
}

// ServeHTTP answers one request.
func (s *serving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response := s.answer(r)
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: reviewKind},
		Response: &response.AdmissionResponse,
	})
	if err != nil { // the connection is broken
		s.log.V(1).Info("Could not send an answer", "reason", err.Error())
	}
}

func (s *serving) answer(r *http.Request) (response admission.Response) {
	req, refusal := s.read(r)
	if refusal != nil {
		return *refusal
	}
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error(fmt.Errorf("panic: %v", cause), "Answering a request", "uid", req.UID, "stack", string(debug.Stack()))
			response = admission.Errored(http.StatusInternalServerError, fmt.Errorf("answering the request: panic: %v", cause))
		}
		response.UID = req.UID
	}()
	response = s.handler.Handle(r.Context(), req)
	if response.Result == nil {
		response.Result = &metav1.Status{Code: http.StatusOK}
	}
	return response
}

// read reads and decodes a request, or says why not.
func (s *serving) read(r *http.Request) (Request, *admission.Response) {
	body, reused := s.bodies.Get().(*bytes.Buffer)
	if !reused {
		body = new(bytes.Buffer)
	}
	defer func() {
		if body.Cap() <= usualBody {
			body.Reset()
			s.bodies.Put(body)
		}
	}()
	if refusal := bodyOf(r, body); refusal != nil {
		return Request{}, refusal
	}
	req, err := parseReview(body.Bytes())
	if err != nil {
		refusal := refuse(err)
		return Request{}, &refusal
	}
	return req, nil
}

// bodyOf reads the body of a request into a buffer, or says why not.
func bodyOf(r *http.Request, into *bytes.Buffer) *admission.Response {
	refused := func(code int32, format string, args ...any) *admission.Response {
		response := admission.Errored(code, fmt.Errorf(format, args...))
		return &response
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		return refused(http.StatusUnsupportedMediaType, "the content type is %q, it has to be application/json", kind)
	}
	if r.ContentLength > maxBody {
		return refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	// It grows with what arrives, and never on the word of a client.
	read, err := into.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	switch {
	case read > maxBody:
		return refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return refused(http.StatusBadRequest, "reading the body: %w", err)
	}
	return nil
}
