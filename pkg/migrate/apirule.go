// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// migrateAPIRule migrates an APIRule v1beta1, as Kyma's migration guides say
// (Kyma api-gateway 3.10, docs/user/apirule-migration).
func migrateAPIRule(from map[string]any, options Options) Result {
	var result Result
	old := object(from, "spec")
	spec := map[string]any{}
	if host := text(old, "host"); validHost.MatchString(host) {
		spec["hosts"] = []any{host}
	} else {
		result.note("spec.host", "%q is no host that v2 accepts; write a lower-case short or full host name", host)
		spec["hosts"] = []any{strings.ToLower(host)}
	}
	spec["gateway"] = result.gateway(text(old, "gateway"))
	if service := object(old, "service"); service != nil {
		spec["service"] = service
	}
	if timeout, given := old["timeout"]; given {
		spec["timeout"] = timeout
	}
	if cors := object(old, "corsPolicy"); cors != nil {
		spec["corsPolicy"] = result.cors(cors)
	}
	result.unknown(old, "spec", "host", "gateway", "service", "timeout", "corsPolicy", "rules")
	protect := false
	var rules []any
	for i, entry := range list(old, "rules") {
		oldRule, _ := entry.(map[string]any)
		path := fmt.Sprintf("spec.rules[%d]", i)
		rule, ok := result.rule(oldRule, path)
		if !ok {
			continue
		}
		protect = protect || (rule["noAuth"] == nil && rule["jwt"] == nil)
		rules = append(rules, rule)
	}
	if len(rules) == 0 {
		result.note("spec.rules", "no rule could be carried over, so there is no APIRule; write it by hand")
		return result
	}
	spec["rules"] = rules
	result.APIRules = []map[string]any{apiRule(from, text(object(from, "metadata"), "name"), protect, options, spec)}
	return result
}

// gateway turns name.namespace, perhaps with ".svc.cluster.local", into
// namespace/name.
func (r *Result) gateway(gateway string) string {
	if strings.Contains(gateway, "/") {
		return gateway
	}
	parts := strings.Split(gateway, ".")
	if len(parts) < 2 {
		r.note("spec.gateway", "%q names no namespace; write namespace/name", gateway)
		return gateway
	}
	return parts[1] + "/" + parts[0]
}

// cors carries over a CORS policy: in v2 maxAge is a number of seconds.
func (r *Result) cors(old map[string]any) map[string]any {
	cors := maps.Clone(old)
	age, isText := old["maxAge"].(string)
	if !isText {
		return cors
	}
	duration, err := time.ParseDuration(age)
	if err != nil || duration < time.Second {
		r.note("spec.corsPolicy.maxAge", "%q is no duration of a second or more, so it is left out", age)
		delete(cors, "maxAge")
		return cors
	}
	cors["maxAge"] = int64(duration / time.Second)
	return cors
}

// rule migrates one rule; it is false if nothing safe can be made of it.
func (r *Result) rule(old map[string]any, path string) (map[string]any, bool) {
	rule := map[string]any{"methods": list(old, "methods")}
	newPath, exact := pathOf(text(old, "path"))
	if newPath == "" {
		r.note(path+".path", "the regular expression %q has no form in v2, so the rule is left out and its path is closed; write rules with {*} and {**}", text(old, "path"))
		return nil, false
	}
	if !exact {
		r.note(path+".path", "%q became %q, which matches whole segments only", text(old, "path"), newPath)
	}
	rule["path"] = newPath
	for _, key := range []string{"service", "timeout"} {
		if value, given := old[key]; given && value != nil {
			rule[key] = value
		}
	}
	r.unknown(old, path, "path", "methods", "service", "timeout", "mutators", "accessStrategies")
	if request := r.mutators(old, path); len(request) > 0 {
		rule["request"] = request
	}
	return rule, r.strategy(rule, old, path)
}

// unknown notes the fields that nobody carries over.
func (r *Result) unknown(old map[string]any, path string, known ...string) {
	for _, key := range sortedKeys(old) {
		if !slices.Contains(known, key) && old[key] != nil {
			r.note(path+"."+key, "is not carried over")
		}
	}
}

// pathOf turns a regular expression of v1beta1 into a path of v2, "" if that is
// not possible. It is not exact if the new path matches less.
func pathOf(old string) (path string, exact bool) {
	if old == "/.*" || old == "/*" || old == "/(.*)" || old == ".*" {
		return "/*", true
	}
	stem, exact := old, true
	for _, wild := range []string{"/.*", "/(.*)", "/.+", ".*"} {
		if before, found := strings.CutSuffix(old, wild); found {
			stem = before
			exact = wild == "/.*" || wild == "/(.*)"
			path = before + "/{**}"
			break
		}
	}
	if path == "" {
		path = old
	}
	if strings.ContainsAny(stem, `*()?!\{}+[]|^$`) || !validPath.MatchString(path) {
		return "", false
	}
	return path, exact
}

// mutators carries over headers and cookies that are added to the request.
func (r *Result) mutators(old map[string]any, path string) map[string]any {
	request := map[string]any{}
	for i, entry := range list(old, "mutators") {
		mutator, _ := entry.(map[string]any)
		config := object(mutator, "config")
		switch handler := text(mutator, "handler"); handler {
		case "noop", "":
		case "header", "headers":
			request["headers"] = object(config, "headers")
		case "cookie", "cookies":
			request["cookies"] = object(config, "cookies")
		default:
			r.note(fmt.Sprintf("%s.mutators[%d]", path, i), "the mutator %q has no form in v2 and is left out", handler)
		}
	}
	return request
}

// strategy sets the access strategy. A rule without one is to be injected.
func (r *Result) strategy(rule, old map[string]any, path string) bool {
	strategies := list(old, "accessStrategies")
	if len(strategies) > 1 {
		r.note(path+".accessStrategies", "a rule of v2 has one access strategy; the first that protects is kept")
	}
	strategies = protectingFirst(strategies)
	if len(strategies) == 0 {
		r.note(path+".accessStrategies", "there is none; the rule is to be injected")
		return true
	}
	first, _ := strategies[0].(map[string]any)
	config := object(first, "config")
	switch handler := text(first, "handler"); handler {
	case "noop", "allow", "no_auth":
		rule["noAuth"] = true
	case "jwt":
		jwt, ok := r.jwt(config, path+".accessStrategies[0].config")
		if !ok {
			return false
		}
		rule["jwt"] = jwt
	case "oauth2_introspection":
		r.unknown(config, path+".accessStrategies[0].config", "required_scope")
		if scopes := texts(config, "required_scope"); len(scopes) > 0 {
			r.note(path+".accessStrategies[0].config.required_scope",
				"scopes %s are not checked by an oauth2-proxy; check them in the application, or add extAuth.restrictions with requiredScopes", strings.Join(scopes, ", "))
		}
	case "unauthorized":
		r.note(path+".accessStrategies[0]", "the handler %q refuses everybody; the rule is left out, which does the same", handler)
		return false
	default:
		r.note(path+".accessStrategies[0]", "the handler %q has no form in v2; the rule is to be injected instead", handler)
	}
	return true
}

// protectingFirst moves handlers that let everybody in behind the others.
func protectingFirst(strategies []any) []any {
	var protecting, open []any
	for _, entry := range strategies {
		strategy, _ := entry.(map[string]any)
		switch text(strategy, "handler") {
		case "noop", "allow", "no_auth":
			open = append(open, entry)
		default:
			protecting = append(protecting, entry)
		}
	}
	return append(protecting, open...)
}

// objects returns the entries of a list that are objects. v2 takes no others, and
// those that are left out are noted.
func (r *Result) objects(config map[string]any, path, key string) []any {
	var kept []any
	for i, entry := range list(config, key) {
		if _, ok := entry.(map[string]any); ok {
			kept = append(kept, entry)
			continue
		}
		r.note(fmt.Sprintf("%s.%s[%d]", path, key, i), "%v is no object and is not carried over", entry)
	}
	return kept
}

// jwt carries over the configuration of Istio's form, which v2 has as it is, or
// of Ory's.
func (r *Result) jwt(config map[string]any, path string) (map[string]any, bool) {
	if list(config, "authentications") != nil {
		authentications := r.objects(config, path, "authentications")
		if len(authentications) == 0 {
			r.note(path, "no entry of jwt.authentications can be carried over, so the rule is left out and its path is closed; write them by hand")
			return nil, false
		}
		jwt := map[string]any{"authentications": authentications}
		if authorizations := r.objects(config, path, "authorizations"); len(authorizations) > 0 {
			jwt["authorizations"] = authorizations
		}
		r.unknown(config, path, "authentications", "authorizations")
		return jwt, true
	}
	issuers, keys := texts(config, "trusted_issuers"), texts(config, "jwks_urls")
	if len(issuers) == 0 || len(issuers) != len(keys) {
		r.note(path, "%d trusted_issuers and %d jwks_urls cannot be paired, so the rule is left out and its path is closed; write jwt.authentications by hand", len(issuers), len(keys))
		return nil, false
	}
	r.unknown(config, path, "trusted_issuers", "jwks_urls", "required_scope", "target_audience")
	authentications := make([]any, 0, len(issuers))
	for i, issuer := range issuers {
		authentications = append(authentications, map[string]any{"issuer": issuer, "jwksUri": keys[i]})
	}
	jwt := map[string]any{"authentications": authentications}
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
	return jwt, true
}
