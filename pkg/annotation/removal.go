// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// MaxRemovalAhead is how far ahead the end of a [Removal] may be.
const MaxRemovalAhead = 24 * time.Hour

// Removal is one entry of [AllowRemoval]: an authorizer that may be removed
// although APIRules use it.
type Removal struct {
	Authorizer string
	// Until is when the permission ends. Zero: it holds for nothing but the update
	// that writes it.
	Until time.Time
}

// Timed is true for a permission that has an end.
func (r Removal) Timed() bool {
	return !r.Until.IsZero()
}

// TooFarAhead is true for a permission whose end is too far away to count.
func (r Removal) TooFarAhead(now time.Time) bool {
	return r.Until.After(now.Add(MaxRemovalAhead))
}

// Ended is true for a permission that is over.
func (r Removal) Ended(now time.Time) bool {
	return r.Timed() && !r.Until.After(now)
}

// Live is true for a permission with an end that holds now.
func (r Removal) Live(now time.Time) bool {
	return r.Timed() && !r.Ended(now) && !r.TooFarAhead(now)
}

// String renders the entry as it is written.
func (r Removal) String() string {
	if !r.Timed() {
		return r.Authorizer
	}
	return r.Authorizer + "@" + r.Until.UTC().Format(time.RFC3339)
}

// ParseRemovals reads the value of [AllowRemoval]: names separated by commas, each
// with "@" and a time in RFC 3339, or without. It is bounded as [ParseNames] is.
func ParseRemovals(path *field.Path, value string) ([]Removal, field.ErrorList) {
	if problem := unreadable(value); problem != "" {
		return nil, field.ErrorList{invalid(path, value, problem)}
	}
	var removals []Removal
	var errs field.ErrorList
	for entry := range strings.SplitSeq(value, ",") {
		removal, problem := parseRemoval(strings.TrimSpace(entry))
		if problem == "" && slices.ContainsFunc(removals, func(other Removal) bool { return other.Authorizer == removal.Authorizer }) {
			problem = fmt.Sprintf("names %q twice; each name may appear once", removal.Authorizer)
		}
		if problem != "" {
			errs = append(errs, invalid(path, value, problem))
			continue
		}
		removals = append(removals, removal)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return removals, nil
}

func parseRemoval(entry string) (Removal, string) {
	name, end, timed := strings.Cut(entry, "@")
	switch {
	case entry == "":
		return Removal{}, "has an empty entry; separate names by single commas"
	case len(validation.IsDNS1123Label(name)) > 0:
		return Removal{}, fmt.Sprintf("%q is not a name that an authorizer can have; use up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit", bound.Text(name))
	case !timed:
		return Removal{Authorizer: name}, ""
	}
	until, err := time.Parse(time.RFC3339, end)
	if err != nil || until.IsZero() {
		return Removal{}, fmt.Sprintf(`%q is no time in RFC 3339; write for example "%s@2026-12-01T10:00:00Z", at most 24 h ahead`, bound.Text(end), name)
	}
	return Removal{Authorizer: name, Until: until}, ""
}
