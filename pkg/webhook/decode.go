// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// change is one write of an object.
type change[T any] struct {
	// after is nil for a deleted object.
	after *T
	// old is the object before, as the API server sent it.
	old   json.RawMessage
	parse func(map[string]any) T
}

// changed reads the objects of a request. A request about anything else is an
// error and not "allowed": it means that the registration is wrong.
func changed[T any](req Request, group, resource string, parse func(map[string]any) T) (change[T], error) {
	if req.Resource.Group != group || req.Resource.Resource != resource || req.SubResource != "" {
		return change[T]{}, fmt.Errorf("this webhook is for %s.%s and got a request for %q, subresource %q; correct the rules of the webhook configuration",
			resource, group, req.Resource.Resource+"."+req.Resource.Group, req.SubResource)
	}
	if req.mistyped != nil {
		return change[T]{}, req.mistyped
	}
	result := change[T]{old: req.Old, parse: parse}
	if req.Object != nil {
		value := parse(req.Object.untyped())
		result.after = &value
		return result, nil
	}
	if req.Operation != admissionv1.Delete {
		return change[T]{}, errors.New("reading request.object: it is empty")
	}
	return result, nil
}

// written refuses deletions where a webhook has no say in them. An API server
// sends none; the server may be reached by others.
func written[T any](of change[T], err error) (change[T], error) {
	if err == nil && of.after == nil {
		err = errors.New("this webhook is for what is created or updated and got a deletion; correct the rules of the webhook configuration")
	}
	return of, err
}

// before reads the object before the write; nil for a new one. It decodes each
// time.
func (c change[T]) before() (*T, error) {
	var read *object
	if len(c.old) > 0 {
		if err := decodeStrictly(c.old, &read); err != nil {
			return nil, fmt.Errorf("reading request.oldObject: %w", err)
		}
	}
	if read == nil {
		if c.after == nil {
			return nil, errors.New("reading request.oldObject: it is empty")
		}
		return nil, nil //nolint:nilnil // a new object has none before it
	}
	value := c.parse(read.untyped())
	return &value, nil
}

// refuse answers a request that cannot be understood.
func refuse(err error) admission.Response {
	return admission.Errored(http.StatusBadRequest, err)
}
