// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook adapts the policy to admission requests: decode, ask one core
// function, render.
//
// A handler reads the cluster only through a facts.Source, it makes no
// sentence about an object, and it has no condition about APIRules.
package webhook

import (
	"time"

	"github.com/go-logr/logr"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Decider is what every handler needs. Source, Settings and Now must be set.
type Decider struct {
	Source facts.Source
	// Settings returns those of this moment; it must not wait.
	Settings func() policy.Settings
	// Recent may be nil: what was admitted counts when the watch shows it.
	Recent *facts.Recent
	// ForeignNames returns true if answers name objects of other namespaces. Whoever
	// writes an APIRule may often not read those. Nil: they do not.
	ForeignNames func() bool
	// Metrics may be nil: nothing is measured.
	Metrics *metrics.Admission
	// Now tells the time, for exemptions.
	Now func() time.Time
	// Log gets what an operator did on purpose; its zero value drops it.
	Log logr.Logger
}
