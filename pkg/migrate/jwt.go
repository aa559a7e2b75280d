// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// readJWT carries over the configuration of Istio's form, which v2 has as it is,
// or of Ory's. What v2 does not take is a problem of the route.
func (r *legacyReader) readJWT(read *route, config map[string]any, at string) {
	raw, err := json.Marshal(config)
	if err != nil {
		raw = []byte(err.Error())
	}
	read.credential = string(raw)
	jwt := r.istioJWT(config, at)
	if config["authentications"] == nil && config["authorizations"] == nil {
		jwt, read.problem = r.oryJWT(config, at)
		read.problemAt = at
	}
	if read.problem == "" {
		read.problemAt, read.problem = r.jwtProblem(jwt, at)
	}
	if read.problem != "" {
		return
	}
	if raw, err := json.Marshal(jwt); err == nil {
		read.credential = string(raw)
	}
	read.content["jwt"] = jwt
}

// istioJWT returns the lists of Istio's form that are not empty: v2 refuses empty
// ones, which mean the same as none.
func (r *legacyReader) istioJWT(config map[string]any, at string) map[string]any {
	jwt := map[string]any{}
	for _, key := range []string{"authentications", "authorizations"} {
		if entries := list(config, key); len(entries) > 0 {
			jwt[key] = entries
		}
	}
	if len(jwt) > 0 {
		r.unknown(config, at, "authentications", "authorizations")
	}
	return jwt
}

// oryJWT turns Ory's form into Istio's. Kyma's conversion does so for one issuer
// and one key set (Kyma api-gateway, v1beta1/jwt_conversion.go); of more,
// Oathkeeper takes each issuer with each key set, so that pairs of them are less.
func (r *legacyReader) oryJWT(config map[string]any, at string) (jwt map[string]any, problem string) {
	issuers, keys := texts(config, "trusted_issuers"), texts(config, "jwks_urls")
	switch {
	case len(keys) == 0:
		return nil, "there is neither authentications nor jwks_urls"
	case len(issuers) == 0:
		return nil, "v2 needs the issuer of the tokens; add it as trusted_issuers (it stands in the provider's /.well-known/openid-configuration)"
	case len(issuers) != len(keys):
		return nil, fmt.Sprintf("%d trusted_issuers and %d jwks_urls cannot be paired; write jwt.authentications by hand", len(issuers), len(keys))
	case len(issuers) > 1:
		r.note(Todo, at, "trusted_issuers and jwks_urls are paired in their order; see that each key set is that of its issuer")
	}
	r.unknown(config, at, "trusted_issuers", "jwks_urls", "required_scope", "target_audience")
	authentications := make([]any, 0, len(issuers))
	for i, issuer := range issuers {
		authentications = append(authentications, map[string]any{"issuer": issuer, "jwksUri": keys[i]})
	}
	jwt = map[string]any{"authentications": authentications}
	authorization := map[string]any{}
	if scopes := texts(config, "required_scope"); len(scopes) > 0 {
		authorization["requiredScopes"] = anys(scopes)
	}
	if audiences := texts(config, "target_audience"); len(audiences) > 0 {
		authorization["audiences"] = anys(audiences)
	}
	if len(authorization) > 0 {
		jwt["authorizations"] = []any{authorization}
	}
	return jwt, ""
}

// jwtProblem says what API Gateway does not take in a jwt, "" if it takes all
// (Kyma api-gateway, internal/validation/v2alpha1/jwt.go).
func (r *legacyReader) jwtProblem(jwt map[string]any, at string) (field, problem string) {
	authentications := list(jwt, "authentications")
	if len(authentications) == 0 {
		return at, "v2 needs one entry of authentications at least"
	}
	headers, params := false, false
	for i, entry := range authentications {
		authentication, isObject := entry.(map[string]any)
		field := fmt.Sprintf("%s.authentications[%d]", at, i)
		if !isObject {
			return field, quoted(fmt.Sprint(entry)) + " is not an object"
		}
		headers = headers || len(list(authentication, "fromHeaders")) > 0
		params = params || len(list(authentication, "fromParams")) > 0
		if problem := r.authenticationProblem(authentication, headers && params); problem != "" {
			return field, problem
		}
	}
	for i, entry := range list(jwt, "authorizations") {
		if problem := authorizationProblem(entry); problem != "" {
			return fmt.Sprintf("%s.authorizations[%d]", at, i), problem
		}
	}
	return "", ""
}

func (r *legacyReader) authenticationProblem(authentication map[string]any, mixed bool) string {
	issuer, keys := text(authentication, "issuer"), text(authentication, "jwksUri")
	switch {
	case issuer == "":
		return "v2 needs the issuer"
	case strings.Contains(issuer, ":") && !uri(issuer):
		return "the issuer " + quoted(issuer) + " is not a URI"
	case !uri(keys):
		return "the jwksUri " + quoted(keys) + " is not a URI"
	case mixed:
		return "v2 takes tokens from headers or from parameters, not from both; keep fromHeaders or fromParams"
	case len(list(authentication, "fromHeaders")) > 1:
		return "v2 takes one entry of fromHeaders"
	case len(list(authentication, "fromParams")) > 1:
		return "v2 takes one entry of fromParams"
	}
	raw, err := json.Marshal([]any{authentication["fromHeaders"], authentication["fromParams"]})
	if err != nil {
		return err.Error()
	}
	if r.jwts == nil {
		r.jwts = map[string]string{}
	}
	known, repeated := r.jwts[issuer+" "+keys]
	if repeated && known != string(raw) {
		return "another rule takes tokens of the issuer " + quoted(issuer) + " from elsewhere, and v2 wants the same fromHeaders and fromParams in all rules"
	}
	r.jwts[issuer+" "+keys] = string(raw)
	return ""
}

func authorizationProblem(entry any) string {
	authorization, isObject := entry.(map[string]any)
	if !isObject {
		return quoted(fmt.Sprint(entry)) + " is not an object"
	}
	for _, key := range []string{"requiredScopes", "audiences"} {
		values, given := authorization[key]
		if given && values != nil && (len(list(authorization, key)) == 0 || len(texts(authorization, key)) != len(list(authorization, key))) {
			return key + " is not a list of texts"
		}
		if slices.Contains(texts(authorization, key), "") {
			return key + " has an empty entry"
		}
	}
	return ""
}

// uri is true for a URI, as far as it can be read before placeholders are filled.
func uri(text string) bool {
	_, err := url.ParseRequestURI(text)
	return err == nil || (text != "" && placeholder(text))
}
