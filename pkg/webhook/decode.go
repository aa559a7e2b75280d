// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// change is one write of an APIRule. before is nil for a new object.
type change struct {
	before *apirule.View
	after  apirule.View
}

// apirules reads the APIRules of a request. A request about anything else is an
// error and not "allowed": it means that the registration is wrong.
func apirules(req admission.Request) (change, error) {
	if err := expect(req, apirule.Group, apirule.Resource); err != nil {
		return change{}, err
	}
	after, err := decode(req.Object)
	if err != nil {
		return change{}, fmt.Errorf("reading request.object: %w", err)
	}
	result := change{after: apirule.Parse(after, req.Namespace)}
	if len(req.OldObject.Raw) == 0 {
		return result, nil
	}
	before, err := decode(req.OldObject)
	if err != nil {
		return change{}, fmt.Errorf("reading request.oldObject: %w", err)
	}
	view := apirule.Parse(before, req.Namespace)
	result.before = &view
	return result, nil
}

func expect(req admission.Request, group, resource string) error {
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
	var object map[string]any
	if err := strictjson.UnmarshalCaseSensitivePreserveInts(raw.Raw, &object); err != nil {
		return nil, fmt.Errorf("decoding JSON: %w", err)
	}
	return object, nil
}

// refuse answers a request that cannot be understood.
func refuse(err error) admission.Response {
	return admission.Errored(http.StatusBadRequest, err)
}
