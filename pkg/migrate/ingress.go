// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// nginx is the prefix of the annotations of ingress-nginx.
const nginx = "nginx.ingress.kubernetes.io/"

// migrateIngress makes an APIRule for each host of an Ingress that ingress-nginx
// protects by an external authorizer.
func migrateIngress(from map[string]any, options Options) Result {
	var result Result
	metadata, spec := object(from, "metadata"), object(from, "spec")
	annotations := object(metadata, "annotations")
	if text(annotations, nginx+"auth-url") == "" {
		result.note("metadata.annotations", "there is no %sauth-url: the Ingress protects nothing and is passed over", nginx)
		return result
	}
	result.nginxAnnotations(annotations)
	if spec["defaultBackend"] != nil {
		result.note("spec.defaultBackend", "an APIRule has a host, so the default backend is left out")
	}
	if len(list(spec, "tls")) > 0 {
		result.note("spec.tls", "certificates belong to the Gateway %s; see that it serves the hosts", options.Gateway)
	}
	hosts := 0
	for i, entry := range list(spec, "rules") {
		rule, _ := entry.(map[string]any)
		path := fmt.Sprintf("spec.rules[%d]", i)
		host := text(rule, "host")
		if !validHost.MatchString(host) {
			result.note(path+".host", "%q is no host of an APIRule, so the rule is left out", host)
			continue
		}
		ingress := ingress{result: &result, options: options, namespace: text(metadata, "namespace"), regex: text(annotations, nginx+"use-regex") == "true"}
		rules := ingress.rules(object(rule, "http"), path)
		if len(rules) == 0 {
			continue
		}
		name := text(metadata, "name")
		if hosts > 0 {
			name = fmt.Sprintf("%s-%d", name, hosts)
		}
		hosts++
		result.APIRules = append(result.APIRules, apiRule(from, name, true, options, map[string]any{
			"hosts": []any{host}, "gateway": options.Gateway, "rules": rules,
		}))
	}
	return result
}

// nginxAnnotations notes what becomes of the annotations of ingress-nginx.
func (r *Result) nginxAnnotations(annotations map[string]any) {
	for _, key := range sortedKeys(annotations) {
		name, own := strings.CutPrefix(key, nginx)
		if !own {
			continue
		}
		path := fmt.Sprintf("metadata.annotations[%s]", key)
		switch name {
		case "auth-url":
			r.note(path, "%s is asked no longer: register the authorizer in the Istio CR", text(annotations, key))
		case "auth-signin":
			r.note(path, "whether users are sent to a login page is up to the authorizer: an oauth2-proxy in the authorization-code flow does that")
		case "use-regex":
		default:
			r.note(path, "is not carried over")
		}
	}
}

// ingress migrates the paths of one host.
type ingress struct {
	result    *Result
	options   Options
	namespace string
	regex     bool
}

func (g ingress) rules(http map[string]any, at string) []any {
	var rules []any
	for i, entry := range list(http, "paths") {
		one, _ := entry.(map[string]any)
		path := fmt.Sprintf("%s.http.paths[%d]", at, i)
		service, ok := g.service(object(one, "backend"), path+".backend")
		if !ok {
			continue
		}
		for _, newPath := range g.paths(one, path) {
			rules = append(rules, map[string]any{"path": newPath, "methods": allMethods(), "service": service})
		}
	}
	// ingress-nginx takes the longest path that matches, an APIRule the first.
	slices.SortStableFunc(rules, func(a, b any) int { return specificity(b) - specificity(a) })
	return rules
}

// specificity is greater for paths that are to be tried earlier: long ones, and
// of equally long ones those without an operator.
func specificity(rule any) int {
	path, _ := rule.(map[string]any)["path"].(string)
	if stem, wild := strings.CutSuffix(path, "/{**}"); wild {
		return 2 * len(stem)
	}
	if path == "/*" {
		return 0
	}
	return 2*len(path) + 1
}

// paths returns the paths of v2 for one of an Ingress: a prefix is the path
// itself and everything below it.
func (g ingress) paths(one map[string]any, at string) []string {
	old := text(one, "path")
	kind := text(one, "pathType")
	switch {
	case g.regex && kind != "Exact":
		path, exact := pathOf(old)
		if path != "" && exact {
			return []string{path}
		}
	case kind == "Exact":
		if validPath.MatchString(old) && !strings.ContainsAny(old, "{*") {
			return []string{old}
		}
	default:
		stem := strings.TrimSuffix(old, "/")
		if stem == "" {
			return []string{"/*"}
		}
		if validPath.MatchString(stem) && !strings.ContainsAny(stem, "{*") {
			return []string{stem, stem + "/{**}"}
		}
	}
	g.result.note(at+".path", "%q has no form in v2, so it is left out and closed; write rules with {*} and {**}", old)
	return nil
}

func (g ingress) service(backend map[string]any, at string) (map[string]any, bool) {
	service := object(backend, "service")
	name, port := text(service, "name"), object(service, "port")
	if name == "" {
		g.result.note(at, "is no Service, so the path is left out")
		return nil, false
	}
	number, known := port["number"].(int64)
	if portName := text(port, "name"); !known && portName != "" && g.options.Port != nil {
		number, known = g.options.Port(g.namespace, name, portName)
	}
	if !known {
		g.result.note(at+".service.port", "the number of the port %q is not known, so the path is left out; give the Service %s in the same input", text(port, "name"), name)
		return nil, false
	}
	return map[string]any{"name": name, "port": number}, true
}
