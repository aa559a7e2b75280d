// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Injector is the mutating webhook of APIRules: it answers with the edits of
// [policy.Inject] as a JSON Patch.
type Injector struct {
	Decider
}

var _ admission.Handler = &Injector{}

// Handle answers one request.
func (h *Injector) Handle(ctx context.Context, req admission.Request) admission.Response {
	return h.observe(MutateAPIRule, req, func() admission.Response {
		change, err := apirules(req)
		if err != nil {
			return refuse(err)
		}
		injection := policy.Inject(*change.after, h.facts(ctx, *change.after), h.Settings)
		findings := h.introduced(ctx, change, injection.Findings, func(view apirule.View, facts policy.Facts) []policy.Finding {
			return policy.Inject(view, facts, h.Settings).Findings
		})
		response := h.answer(MutateAPIRule, req, apirule.Kind, findings)
		if !response.Allowed {
			return response
		}
		return h.inject(response, *change.after, injection)
	})
}

// Validator is the validating webhook of APIRules: it answers with the findings
// of [policy.Check].
type Validator struct {
	Decider
}

var _ admission.Handler = &Validator{}

// Handle answers one request.
func (h *Validator) Handle(ctx context.Context, req admission.Request) admission.Response {
	return h.observe(ValidateAPIRule, req, func() admission.Response {
		change, err := apirules(req)
		if err != nil {
			return refuse(err)
		}
		check := func(view apirule.View, facts policy.Facts) []policy.Finding {
			return policy.Check(view, facts, h.Settings)
		}
		findings := check(*change.after, h.facts(ctx, *change.after))
		return h.answer(ValidateAPIRule, req, apirule.Kind, h.introduced(ctx, change, findings, check))
	})
}

// introduced weighs findings against those that the object had before, which
// are only worked out if there is something to weigh.
func (d Decider) introduced(ctx context.Context, change change[apirule.View], findings []policy.Finding,
	check func(apirule.View, policy.Facts) []policy.Finding,
) []policy.Finding {
	if change.before == nil || len(findings) == 0 {
		return findings
	}
	return policy.Ratchet(check(*change.before, d.facts(ctx, *change.before)), findings)
}

func apirules(req admission.Request) (change[apirule.View], error) {
	return changed(req, apirule.Group, apirule.Resource, func(object map[string]any) apirule.View {
		return apirule.Parse(object, req.Namespace)
	})
}

// facts returns the facts around view, at this time.
func (d Decider) facts(ctx context.Context, view apirule.View) policy.Facts {
	facts := d.Source.Facts(ctx, view)
	facts.Now = d.Now()
	return facts
}
