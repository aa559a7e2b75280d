// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// IstioGuard is the validating webhook of Istio CRs: it answers with the findings
// of [policy.CheckIstio].
type IstioGuard struct {
	Decider
}

var _ Handler = &IstioGuard{}

// Handle answers one request.
func (h *IstioGuard) Handle(_ context.Context, req Request) admission.Response {
	return h.observe(ValidateIstio, req, func() admission.Response {
		change, err := changed(req, istio.Group, istio.Resource, istio.Parse)
		if err != nil {
			return refuse(err)
		}
		before, err := change.before()
		if err != nil {
			return refuse(err)
		}
		facts := h.Source.IstioFacts(types.NamespacedName{Namespace: req.Namespace, Name: req.Name})
		response := h.answer(ValidateIstio, req, istio.Kind, policy.CheckIstio(before, change.after, facts))
		if !response.Allowed || req.DryRun {
			return response // nothing is removed
		}
		for _, name := range policy.AllowedRemovals(before, change.after, facts) {
			h.Log.Info("Removing an authorizer in use, as the annotation allows",
				"istio", klog.KRef(req.Namespace, req.Name), "authorizer", name, "user", req.UserInfo.Username)
			h.Metrics.AllowedRemoval()
		}
		return response
	})
}
