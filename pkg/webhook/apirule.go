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

var _ Handler = &Injector{}

// Handle answers one request.
func (h *Injector) Handle(ctx context.Context, req Request) admission.Response {
	change, err := apirules(req)
	if err != nil {
		return refuse(err)
	}
	settings := h.Settings()
	injection := policy.Inject(*change.after, h.facts(ctx, *change.after), settings)
	findings, err := h.introduced(ctx, change, injection.Findings, func(view apirule.View, facts policy.Facts) []policy.Finding {
		return policy.Inject(view, facts, settings).Findings
	})
	if err != nil {
		return refuse(err)
	}
	response := h.answer(MutateAPIRule, req, apirule.Kind, findings)
	// The validating webhook warns of the same findings. It is not asked about rules that
	// the CRD refuses.
	response.Warnings = nil
	if unasked := injection.Unasked(*change.after); unasked != "" {
		response.Warnings = []string{unasked}
	}
	if !response.Allowed {
		return response
	}
	return h.inject(response, *change.after, injection)
}

// Validator is the validating webhook of APIRules: it answers with the findings
// of [policy.Judge], and tells the audit log the verdict.
type Validator struct {
	Decider
}

var _ Handler = &Validator{}

// Handle answers one request.
func (h *Validator) Handle(ctx context.Context, req Request) admission.Response {
	change, err := apirules(req)
	if err != nil {
		return refuse(err)
	}
	settings, around := h.Settings(), h.facts(ctx, *change.after)
	h.Recent.Around(*change.after, &around, around.Now)
	for {
		judged := policy.Judge(*change.after, around, settings)
		findings, err := h.introduced(ctx, change, judged.Findings, func(view apirule.View, facts policy.Facts) []policy.Finding {
			return policy.Check(view, facts, settings)
		})
		if err != nil {
			return refuse(err)
		}
		if policy.Denies(findings) || req.DryRun || h.Recent.Admit(*change.after, &around, around.Now) {
			return audited(h.answer(ValidateAPIRule, req, apirule.Kind, findings), auditVerdict, string(judged.Verdict.Verdict))
		}
		// Another APIRule was admitted in the meantime, and the facts have it now.
	}
}

// introduced weighs findings against those that the object had before, which
// are only worked out if there is something to weigh.
func (d Decider) introduced(ctx context.Context, change change[apirule.View], findings []policy.Finding,
	check func(apirule.View, policy.Facts) []policy.Finding,
) ([]policy.Finding, error) {
	if len(findings) == 0 {
		return nil, nil
	}
	before, err := change.before()
	if err != nil || before == nil {
		return findings, err
	}
	return policy.Ratchet(check(*before, d.facts(ctx, *before)), findings), nil
}

func apirules(req Request) (change[apirule.View], error) {
	return written(changed(req, apirule.Group, apirule.Resource, func(object map[string]any) apirule.View {
		return apirule.Parse(object, req.Namespace)
	}))
}

// facts returns the facts around view, at this time.
func (d Decider) facts(ctx context.Context, view apirule.View) policy.Facts {
	facts := d.Source.Facts(ctx, view)
	facts.Now = d.Now()
	return facts
}
