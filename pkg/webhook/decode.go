// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	strictjson "sigs.k8s.io/json"
)

// change is one write of an object: before is nil for a new one, after is nil
// for a deleted one.
type change[T any] struct {
	before, after *T
}

// changed reads the objects of a request. A request about anything else is an
// error and not "allowed": it means that the registration is wrong.
func changed[T any](req admission.Request, group, resource string, parse func(map[string]any) T) (change[T], error) {
	var result change[T]
	if err := expect(req, group, resource); err != nil {
		return result, err
	}
	for _, part := range []struct {
		field    string
		raw      runtime.RawExtension
		required bool
		into     **T
	}{
		{"request.object", req.Object, req.Operation != admissionv1.Delete, &result.after},
		{"request.oldObject", req.OldObject, req.Operation == admissionv1.Delete, &result.before},
	} {
		if len(part.raw.Raw) == 0 && !part.required {
			continue
		}
		object, err := decode(part.raw)
		if err != nil {
			return change[T]{}, fmt.Errorf("reading %s: %w", part.field, err)
		}
		value := parse(object)
		*part.into = &value
	}
	return result, nil
}

func expect(req admission.Request, group, resource string) error {
	if req.Resource.Resource == "" { // controller-runtime decodes any object as an empty review
		return errors.New("the body is not an AdmissionReview of admission.k8s.io/v1 with a request; only an API server should call this webhook")
	}
	if req.Resource.Group != group || req.Resource.Resource != resource || req.SubResource != "" {
		return fmt.Errorf("this webhook is for %s.%s and got a request for %q, subresource %q; correct the rules of the webhook configuration",
			resource, group, req.Resource.Resource+"."+req.Resource.Group, req.SubResource)
	}
	return nil
}

func decode(raw runtime.RawExtension) (map[string]any, error) {
	if len(raw.Raw) == 0 {
		return nil, errors.New("it is empty")
	}
	var read object
	if err := strictjson.UnmarshalCaseSensitivePreserveInts(raw.Raw, &read); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	return read.untyped(), nil
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
	OwnerReferences   any `json:"ownerReferences"`
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
			"ownerReferences":   o.Metadata.OwnerReferences,
		}
	}
	return whole
}

// refuse answers a request that cannot be understood.
func refuse(err error) admission.Response {
	return admission.Errored(http.StatusBadRequest, err)
}
