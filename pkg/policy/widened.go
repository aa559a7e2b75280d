// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// checkWidened reports authorizers in use that somebody else answers for after the
// change, or that are asked with another path: what they let in may be more.
func checkWidened(before istio.View, after *istio.View, facts IstioFacts) []Finding {
	was, is := registries(before, after, facts)
	var found []Finding
	for _, name := range was.Names() {
		earlier, _ := was.Authorizer(name)
		later, kept := is.Authorizer(name)
		parts, changes := changedParts(earlier, later)
		if !kept || len(changes) == 0 {
			continue
		}
		users := facts.users(name)
		if len(users) == 0 {
			continue
		}
		path := field.NewPath("metadata", "name")
		if after != nil {
			path = later.Field()
		}
		finding := newFinding(AuthorizerWidened, Warn, path, name,
			fmt.Sprintf("the authorizer is used by %s, whose requests somebody else may decide about: %s; it now has %s; make sure that it refuses what the earlier one refused, or register it under a new name",
				apiruleCount(users), bound.List(users), strings.Join(changes, ", ")),
			fmt.Sprintf("%q, used by %s, gets another %s", name, apiruleCount(users), strings.Join(parts, ", ")))
		finding.Subject = strings.Join(append([]string{name}, changes...), " ")
		found = append(found, finding)
	}
	return found
}

// changedParts names what decides who is asked and how, and says what became of it.
func changedParts(earlier, later istio.Authorizer) (parts, changes []string) {
	for _, part := range []struct{ name, was, is string }{
		{"service", earlier.Service, later.Service},
		{"port", strconv.FormatInt(earlier.Port, 10), strconv.FormatInt(later.Port, 10)},
		{"pathPrefix", earlier.PathPrefix, later.PathPrefix},
	} {
		if part.was != part.is {
			parts = append(parts, part.name)
			changes = append(changes, fmt.Sprintf("the %s %q instead of %q", part.name, bound.Text(part.is), bound.Text(part.was)))
		}
	}
	return parts, changes
}

func apiruleCount(users []string) string {
	if len(users) == 1 {
		return "1 APIRule"
	}
	return fmt.Sprintf("%d APIRules", len(users))
}
