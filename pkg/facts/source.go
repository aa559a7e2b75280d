// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package facts collects the facts around an APIRule for the policy.
//
// World is the one index of everything a decision may depend on. It is fed by
// watches in a cluster (package cluster) and by files offline, and it is asked
// by every front end, so that all of them decide from the same facts. It has no
// client.
package facts

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Source yields the facts around an APIRule.
type Source interface {
	// Facts returns what is known around view, which need not be stored
	// anywhere. It never fails: what could not be found out is unknown in the
	// facts. It may wait for a bounded time, never longer than ctx, and may be
	// called by several goroutines at once.
	Facts(ctx context.Context, view apirule.View) policy.Facts
	// IstioFacts returns what is known around the Istio CR of that name, which
	// need not exist. It never waits.
	IstioFacts(name types.NamespacedName) policy.IstioFacts
	// OptOutFacts returns what is known around the annotations of a Service or a
	// Namespace, which need not exist and is about to have the given labels. It
	// never waits.
	OptOutFacts(kind annotation.Kind, name types.NamespacedName, labels map[string]string) policy.OptOutFacts
}
