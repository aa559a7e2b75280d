// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// identity says which identity headers of the active Istio CR's authorizers clients can
// send themselves.
func (d *doctor) identity(context.Context) (string, error) {
	active, found := istio.Active(slices.Collect(maps.Values(d.all.istios)))
	switch {
	case !found:
		return "", skipping{errors.New("not known: there is no Istio CR")}
	case d.unseen("AuthorizationPolicy"):
		return "", skipping{errors.New("not known: you may not list AuthorizationPolicies everywhere")}
	}
	var problems []error
	for _, finding := range policy.CheckIstio(nil, &active, d.all.world.IstioFacts(active.NamespacedName())) {
		if finding.Code == policy.IdentityHeaderSpoofable {
			problems = append(problems, finding.Err)
		}
	}
	if len(problems) > 0 {
		return "", warning{errors.Join(problems...)}
	}
	return "", nil
}
