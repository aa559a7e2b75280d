// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// AllowedRemovals returns the authorizers in use that a change removes because
// the annotation [annotation.AllowRemoval] allows it, sorted; they deserve a
// line in the log.
func AllowedRemovals(before, after *istio.View, facts IstioFacts) []string {
	if before == nil {
		return nil
	}
	allowed := allowedRemovals(*before, after, facts.Now)
	var removed []string
	for _, name := range lost(*before, after, facts) {
		if slices.Contains(allowed, name) && len(facts.users(name)) > 0 {
			removed = append(removed, name)
		}
	}
	return removed
}

// LiveRemovals returns the permissions to remove authorizers that a stored Istio CR
// gives now, in the order of the annotation.
func LiveRemovals(view istio.View, now time.Time) []annotation.Removal {
	return slices.DeleteFunc(removalsOf(view), func(removal annotation.Removal) bool { return !removal.Live(now) })
}

// allowedRemovals returns the authorizers that a change may remove. A permission
// that has an end holds until then. One without holds for the change that writes
// it: what the CR had before has been used up.
func allowedRemovals(before istio.View, after *istio.View, now time.Time) []string {
	current := before
	if after != nil {
		current = *after
	}
	used := removalsOf(before)
	var names []string
	for _, removal := range removalsOf(current) {
		if removal.Live(now) || !removal.Timed() && !slices.Contains(used, removal) {
			names = append(names, removal.Authorizer)
		}
	}
	return names
}

func removalsOf(view istio.View) []annotation.Removal {
	value, present := view.Annotations[annotation.AllowRemoval]
	if !present {
		return nil
	}
	removals, _ := annotation.ParseRemovals(nil, value)
	return removals
}

// checkRemovals reports what is wrong with the annotation [annotation.AllowRemoval].
// now may be zero: the time is not known, and nothing is concluded from it.
func checkRemovals(view istio.View, now time.Time) []Finding {
	value, present := view.Annotations[annotation.AllowRemoval]
	if !present {
		return nil
	}
	path := annotation.Path(annotation.AllowRemoval)
	removals, errs := annotation.ParseRemovals(path, value)
	var found []Finding
	for _, err := range errs {
		found = append(found, annotationFinding(err))
	}
	if now.IsZero() {
		return found
	}
	for _, removal := range removals {
		switch {
		case removal.TooFarAhead(now):
			found = append(found, annotationFinding(field.Invalid(path, removal.String(),
				fmt.Sprintf("ends more than 24 h ahead; the latest end is %s", now.Add(annotation.MaxRemovalAhead).UTC().Format(time.RFC3339)))))
		case removal.Ended(now):
			finding := annotationFinding(field.Invalid(path, removal.String(), "has ended and allows nothing; remove it, or write a later end")).demoted()
			finding.Once = true
			found = append(found, finding)
		}
	}
	return found
}

// howToAllow says how the removal of an authorizer is allowed.
func howToAllow(name string, deletes bool) string {
	const end = "@2026-12-01T10:00:00Z"
	if deletes {
		return fmt.Sprintf("allow it with the annotation %s: %s%s, whose end is at most 24 h ahead", annotation.AllowRemoval, name, end)
	}
	return fmt.Sprintf("allow it in the same update with the annotation %s: %s, or before it with %s%s, whose end is at most 24 h ahead",
		annotation.AllowRemoval, name, name, end)
}
