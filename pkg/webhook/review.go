// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

const reviewKind = "AdmissionReview"

// review is an AdmissionReview of admission.k8s.io/v1.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *Request `json:"request"`
}

// Request is what the webhooks read of an AdmissionRequest
// (admission.k8s.io/v1).
type Request struct {
	UID         types.UID                   `json:"uid"`
	Kind        metav1.GroupVersionKind     `json:"kind"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	// Name is "" where the API server is to generate it.
	Name string `json:"name"`
	// Namespace is "" for what has none, but for a Namespace its own name.
	Namespace string                `json:"namespace"`
	Operation admissionv1.Operation `json:"operation"`
	UserInfo  userInfo              `json:"userInfo"`
	DryRun    bool                  `json:"dryRun"`

	// Object is decoded together with the request, Old only when a decision
	// depends on it, which is seldom.
	Object *object         `json:"object"`
	Old    json.RawMessage `json:"oldObject"`

	// mistyped is not nil if a part has the wrong type; the others are read.
	mistyped error
}

type userInfo struct {
	Username string `json:"username"`
}

// object names the parts that a decision may depend on. The others are skipped
// and not built, above all metadata.managedFields, which is often the larger
// half of an object.
type object struct {
	Metadata *metadata `json:"metadata"`
	Spec     any       `json:"spec"`
	Status   any       `json:"status"`
}

type metadata struct {
	Namespace         any `json:"namespace"`
	Name              any `json:"name"`
	UID               any `json:"uid"`
	CreationTimestamp any `json:"creationTimestamp"`
	DeletionTimestamp any `json:"deletionTimestamp"`
	Annotations       any `json:"annotations"`
	Labels            any `json:"labels"`
	OwnerReferences   any `json:"ownerReferences"`
}

// parseReview reads the body of a request. A request of which a part has the
// wrong type is not an error here but one for the handler, which may not need it.
// The request that comes with an error has the UID that the answer needs, if there
// is one.
//
// Strict is what an API server is too: text that is not UTF-8, a key twice, and an
// operation that does not exist are errors.
func parseReview(body []byte) (Request, error) {
	if !utf8.Valid(body) {
		return Request{}, errors.New("decoding the AdmissionReview: the body is not UTF-8")
	}
	var read review
	err := decodeStrictly(body, &read)
	switch {
	case err != nil && read.Request == nil:
		return Request{}, fmt.Errorf("decoding the AdmissionReview: %w", err)
	case read.APIVersion != admissionv1.SchemeGroupVersion.String() || read.Kind != reviewKind || read.Request == nil:
		return Request{}, errors.New("the body is not an AdmissionReview of admission.k8s.io/v1 with a request; only an API server should call this webhook")
	case !slices.Contains(operations(), read.Request.Operation):
		return *read.Request, fmt.Errorf("the operation %q does not exist; an API server sends CREATE, UPDATE, DELETE or CONNECT", bound.Text(string(read.Request.Operation)))
	case err != nil:
		read.Request.mistyped = fmt.Errorf("reading the request: %w", err)
	}
	return *read.Request, nil
}

func operations() []admissionv1.Operation {
	return []admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect}
}

// decodeStrictly decodes JSON as the API machinery does: names in their case, and
// integers as they are. A name that stands twice is an error.
func decodeStrictly(text []byte, into any) error {
	repeated, err := strictjson.UnmarshalStrict(text, into, strictjson.DisallowDuplicateFields)
	if err == nil && len(repeated) > 0 {
		return repeated[0]
	}
	return err
}

// untyped returns the parts as they are in the whole object. What is absent or
// null there is null here, which nobody tells apart.
func (o object) untyped() map[string]any {
	whole := map[string]any{"spec": o.Spec, "status": o.Status}
	if o.Metadata != nil {
		whole["metadata"] = map[string]any{
			"namespace":         o.Metadata.Namespace,
			"name":              o.Metadata.Name,
			"uid":               o.Metadata.UID,
			"creationTimestamp": o.Metadata.CreationTimestamp,
			"deletionTimestamp": o.Metadata.DeletionTimestamp,
			"annotations":       o.Metadata.Annotations,
			"labels":            o.Metadata.Labels,
			"ownerReferences":   o.Metadata.OwnerReferences,
		}
	}
	return whole
}
