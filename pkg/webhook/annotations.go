// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// AnnotationGuard is the validating webhook of one kind of object that carries
// annotations for APIRules: it answers with the findings of
// [policy.CheckAnnotations].
type AnnotationGuard struct {
	Decider
	Hook     Hook
	Kind     annotation.Kind
	Resource string
}

var _ admission.Handler = &AnnotationGuard{}

// Handle answers one request.
func (h *AnnotationGuard) Handle(_ context.Context, req admission.Request) admission.Response {
	return h.observe(h.Hook, req, func() admission.Response {
		change, err := changed(req, "", h.Resource, annotation.Of)
		if err != nil {
			return refuse(err)
		}
		findings := policy.CheckAnnotations(h.Kind, *change.after)
		if change.before != nil && len(findings) > 0 {
			findings = policy.Ratchet(policy.CheckAnnotations(h.Kind, *change.before), findings)
		}
		return h.answer(h.Hook, req, string(h.Kind), findings)
	})
}
