// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// verdicts counts what holds for the APIRules of namespaces that are not excluded.
func (d *doctor) verdicts(ctx context.Context) (string, error) {
	linter := d.all.linter()
	var tally policy.Tally
	for _, view := range d.all.world.APIRules() {
		if !d.all.settings.ExcludedNamespaces[view.Namespace] {
			tally.Add(linter.ExamineStored(ctx, view).Verdict.Verdict, 1)
		}
	}
	switch {
	case len(tally) == 0:
		return "there are none", nil
	case tally[policy.NotEnforced]+tally[policy.Blocked] > 0:
		return "", warning{fmt.Errorf("%s", tally)}
	case tally[policy.Unknown] > 0:
		return "", skipping{fmt.Errorf("not known of all: %s", tally)}
	}
	return tally.String(), nil
}
