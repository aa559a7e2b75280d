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
	change, err := changed(req, istio.Group, istio.Resource, istio.Parse)
	if err != nil {
		return refuse(err)
	}
	before, err := change.before()
	if err != nil {
		return refuse(err)
	}
	about := changedIstio(req, before)
	facts := h.Source.IstioFacts(about)
	facts.Now = h.Now()
	facts.Collection = before != nil && req.Name == ""
	response := h.answer(ValidateIstio, req, istio.Kind, policy.CheckIstio(before, change.after, facts))
	if !response.Allowed || req.DryRun {
		return response // nothing is removed
	}
	for _, name := range policy.AllowedRemovals(before, change.after, facts) {
		h.Log.Info("Removing an authorizer in use, as the annotation allows",
			"istio", klog.KRef(about.Namespace, about.Name), "authorizer", name, "user", req.UserInfo.Username)
		h.Metrics.AllowedRemoval()
	}
	return response
}

// changedIstio names the Istio CR that a request is about. The request has no name
// where the API server deletes a collection, one object by one (k8s.io/apiserver,
// pkg/registry/generic/registry/store.go, DeleteCollection).
func changedIstio(req Request, before *istio.View) types.NamespacedName {
	if before != nil {
		return before.NamespacedName()
	}
	return types.NamespacedName{Namespace: req.Namespace, Name: req.Name}
}
