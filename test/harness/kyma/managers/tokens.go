// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// validateTokens reports what a rule demands of tokens and Kyma does not take.
func validateTokens(at string, r rule) []Failure {
	wants := r.restrictions()
	if wants == nil {
		return nil
	}
	at += ".jwt"
	if r.JWT == nil {
		at = strings.TrimSuffix(at, ".jwt") + ".extAuth"
	}
	failures := validateAuthorizations(at+".authorizations", wants.Authorizations)
	if len(wants.Authentications) == 0 {
		return append(failures, Failure{at + ".authentications", "A JWT config must have at least one authentication"})
	}
	headers, params := false, false
	for i, one := range wants.Authentications {
		at := fmt.Sprintf("%s.authentications[%d]", at, i)
		if one.Issuer == "" || strings.Contains(one.Issuer, ":") && !uri().MatchString(one.Issuer) {
			failures = append(failures, Failure{at + ".issuer", "value is empty or not a valid uri"})
		}
		if !uri().MatchString(one.JwksURI) {
			failures = append(failures, Failure{at + ".jwksUri", "value is empty or not a valid uri"})
		}
		failures = append(failures, validatePlaces(at, one, headers, params)...)
		headers, params = headers || len(one.FromHeaders) > 0, params || len(one.FromParams) > 0
	}
	return failures
}

// validatePlaces reports places of a token that Kyma does not take together; headers
// and params say what earlier entries have.
func validatePlaces(at string, of authentication, headers, params bool) []Failure {
	const mixture = "mixture of multiple fromHeaders and fromParams is not supported"
	var failures []Failure
	if len(of.FromHeaders) > 0 && params {
		failures = append(failures, Failure{at + ".fromHeaders", mixture})
	}
	if len(of.FromParams) > 0 && (headers || len(of.FromHeaders) > 0) {
		failures = append(failures, Failure{at + ".fromParams", mixture})
	}
	if len(of.FromHeaders) > 1 {
		failures = append(failures, Failure{at + ".fromHeaders", "multiple fromHeaders are not supported"})
	}
	if len(of.FromParams) > 1 {
		failures = append(failures, Failure{at + ".fromParams", "multiple fromParams are not supported"})
	}
	return failures
}

func validateAuthorizations(at string, of []authorization) []Failure {
	if of != nil && len(of) == 0 {
		return []Failure{{at, "authorizations defined, but no configuration exists"}}
	}
	var failures []Failure
	for i, one := range of {
		at := fmt.Sprintf("%s[%d]", at, i)
		if problem := emptyText(one.RequiredScopes, "scope"); problem != "" {
			failures = append(failures, Failure{at + ".requiredScopes", problem})
		}
		if problem := emptyText(one.Audiences, "audience"); problem != "" {
			failures = append(failures, Failure{at + ".audiences", problem})
		}
	}
	return failures
}

func emptyText(of []string, what string) string {
	switch {
	case of == nil:
		return ""
	case len(of) == 0:
		return "value is empty"
	case slices.Contains(of, ""):
		return what + " value is empty"
	}
	return ""
}

// differingTokens reports jwt rules that read the tokens of one issuer differently.
func differingTokens(rules []rule) []Failure {
	known := map[string]authentication{}
	var failures []Failure
	for i, r := range rules {
		if r.JWT == nil {
			continue
		}
		for j, one := range r.JWT.Authentications {
			key := one.Issuer + one.JwksURI
			if first, seen := known[key]; seen && !reflect.DeepEqual(first, one) {
				failures = append(failures, Failure{fmt.Sprintf(".spec.rules[%d].jwt.authentications[%d]", i, j), "multiple jwt configurations that differ for the same issuer"})
				continue
			}
			known[key] = one
		}
	}
	return failures
}
