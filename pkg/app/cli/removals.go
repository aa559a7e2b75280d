// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// removals lists what the annotation of the active Istio CR lets be removed now.
func (d *doctor) removals(context.Context) (string, error) {
	active, found := istio.Active(slices.Collect(maps.Values(d.all.world.Istios())))
	if !found {
		return "", skipping{errors.New("there is no Istio CR to look at")}
	}
	var live []string
	for _, removal := range policy.LiveRemovals(active, d.now()) {
		live = append(live, removal.String())
	}
	if len(live) > 0 {
		return "", warning{fmt.Errorf("%s allows it until the time behind the name: %s", active.NamespacedName(), strings.Join(live, ", "))}
	}
	return "", nil
}
