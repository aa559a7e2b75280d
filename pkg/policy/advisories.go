// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "fmt"

// checkAdvisories reports authorizers that run an oauth2-proxy with a known hole which
// its flags open.
func checkAdvisories(s subject) []Finding {
	var found []Finding
	for i, name := range s.rule.Authorizers {
		for _, hole := range s.facts.Backends[name].Holes {
			finding := newFinding(AuthorizerVulnerable, Warn, s.rule.AuthorizerField(i), name,
				fmt.Sprintf("the Service %s leads to an oauth2-proxy with a known hole: %s", s.facts.Backends[name].Service, hole), hole)
			finding.Subject = name + " " + hole
			found = append(found, finding)
		}
	}
	return found
}
