// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook adapts the policy to admission requests: decode, ask one core
// function, render.
//
// A handler reads the cluster only through a registry.Source, it makes no
// sentence about an object, and it has no condition about APIRules.
package webhook

import (
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

// Decider is what every handler needs. Source and Now must be set.
type Decider struct {
	Source   registry.Source
	Settings policy.Settings
	// Metrics may be nil: nothing is measured.
	Metrics *metrics.Admission
	// Now tells the time, for measuring.
	Now func() time.Time
	// Log gets what an operator did on purpose; its zero value drops it.
	Log logr.Logger
}

// observe measures one request.
func (d Decider) observe(hook Hook, req Request, handle func() admission.Response) admission.Response {
	start := d.Now()
	response := handle()
	d.Metrics.Request(string(hook), string(req.Operation), decision(response), d.Now().Sub(start))
	return response
}

func decision(response admission.Response) string {
	switch {
	case response.Allowed:
		return "allowed"
	case response.Result != nil && response.Result.Details != nil:
		return "denied"
	}
	return "error"
}
