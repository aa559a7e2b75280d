// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

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

// usualBody is a size that few bodies exceed, in bytes.
const usualBody = 64 << 10

// Serving returns handler as something that a webhook server can serve. A
// handler that panics is logged and answered with 500, and what cannot be read
// with 400 or 413; the API server then does what the failure policy says.
//
// It does what controller-runtime's admission.Webhook does, for one version of
// AdmissionReview: that one decodes a body twice to learn the version, and copies
// its objects, to be decoded once more. This is a third of what a request costs.
func Serving(handler Handler, log logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := answered(r, handler, log)
		w.Header().Set("Content-Type", "application/json")
		err := json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: reviewKind},
			Response: &response.AdmissionResponse,
		})
		if err != nil { // the connection is broken
			log.V(1).Info("Could not send an answer", "reason", err.Error())
		}
	})
}

func answered(r *http.Request, handler Handler, log logr.Logger) (response admission.Response) {
	body, refusal := bodyOf(r)
	if refusal != nil {
		return *refusal
	}
	req, err := parseReview(body)
	if err != nil {
		return refuse(err)
	}
	defer func() {
		if cause := recover(); cause != nil {
			log.Error(fmt.Errorf("panic: %v", cause), "Answering a request", "uid", req.UID, "stack", string(debug.Stack()))
			response = admission.Errored(http.StatusInternalServerError, fmt.Errorf("answering the request: panic: %v", cause))
		}
		response.UID = req.UID
	}()
	response = handler.Handle(r.Context(), req)
	if response.Result == nil {
		response.Result = &metav1.Status{Code: http.StatusOK}
	}
	return response
}

// bodyOf reads the body of a request, or says why not.
func bodyOf(r *http.Request) ([]byte, *admission.Response) {
	refused := func(code int32, format string, args ...any) ([]byte, *admission.Response) {
		response := admission.Errored(code, fmt.Errorf(format, args...))
		return nil, &response
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/json" {
		return refused(http.StatusUnsupportedMediaType, "the content type is %q, it has to be application/json", kind)
	}
	if r.ContentLength > maxBody {
		return refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	}
	// One more than it has, so that its end is seen at once, and never much on the
	// word of a client.
	body := make([]byte, 0, min(max(r.ContentLength, 0), usualBody)+1)
	limited := io.LimitedReader{R: r.Body, N: maxBody + 1}
	for {
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case limited.N == 0:
			return refused(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return refused(http.StatusBadRequest, "reading the body: %w", err)
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}
