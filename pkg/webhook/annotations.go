// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// AnnotationGuard is the validating webhook of one kind of object that carries
// annotations for APIRules: it answers with the findings of
// [policy.CheckAnnotations] and [policy.CheckOptOut].
type AnnotationGuard struct {
	Decider
	Hook     Hook
	Kind     annotation.Kind
	Resource string
}

var _ Handler = &AnnotationGuard{}

// carrier is what is read of the object.
type carrier struct {
	annotations, labels map[string]string
}

func readCarrier(object map[string]any) carrier {
	return carrier{annotations: annotation.Of(object), labels: annotation.LabelsOf(object)}
}

// Handle answers one request.
func (h *AnnotationGuard) Handle(_ context.Context, req Request) admission.Response {
	change, err := written(changed(req, "", h.Resource, readCarrier))
	if err != nil {
		return refuse(err)
	}
	findings := h.check(req, *change.after)
	if len(findings) > 0 {
		before, err := change.before()
		if err != nil {
			return refuse(err)
		}
		if before != nil {
			findings = policy.Ratchet(h.check(req, *before), findings)
		}
	}
	return h.answer(h.Hook, req, string(h.Kind), findings)
}

func (h *AnnotationGuard) check(req Request, of carrier) []policy.Finding {
	name := types.NamespacedName{Namespace: req.Namespace, Name: req.Name}
	if h.Kind == annotation.Namespace {
		name.Namespace = "" // a request about a Namespace carries its name in both
	}
	facts := h.Source.OptOutFacts(h.Kind, name, of.labels)
	facts.Now = h.Now()
	found := append(policy.CheckAnnotations(h.Kind, of.annotations), policy.CheckOptOut(h.Kind, name, of.annotations, facts)...)
	return append(found, policy.CheckCallers(h.Kind, name, of.annotations, facts)...)
}
