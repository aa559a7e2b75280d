// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Shield is a header that no request may bring to the ingress gateway.
type Shield struct {
	// Header is in lower case.
	Header string
	// Hosts are those for which it holds; one that begins with "*" stands for all that
	// end like it. Nil is every host.
	Hosts []string
}

// Covers is true if the shield holds for a host.
func (s Shield) Covers(host string) bool {
	return s.Hosts == nil || slices.ContainsFunc(s.Hosts, func(pattern string) bool {
		suffix, wild := strings.CutPrefix(pattern, "*")
		return pattern == host || wild && strings.HasSuffix(host, suffix)
	})
}

// ShieldSpec returns the spec of an AuthorizationPolicy that refuses, at Kyma's ingress
// gateway, every request for a host of a domain that brings one of the headers itself.
// [ParseShields] reads it.
func ShieldSpec(domain string, headers []string) map[string]any {
	rules := make([]any, 0, len(headers))
	for _, header := range headers {
		rules = append(rules, map[string]any{
			"to":   []any{map[string]any{"operation": map[string]any{"hosts": []any{"*." + domain}}}},
			"when": []any{map[string]any{"key": "request.headers[" + header + "]", "values": []any{"*"}}},
		})
	}
	return map[string]any{
		"action":   "DENY",
		"selector": map[string]any{"matchLabels": map[string]any{"istio": "ingressgateway"}},
		"rules":    rules,
	}
}

// ParseShields returns the headers that an AuthorizationPolicy keeps out at Kyma's
// ingress gateway. It takes a rule only if it can tell that nothing but the header and
// the host decides; for every other rule it returns nothing.
func ParseShields(object map[string]any) []Shield {
	metadata, _ := object["metadata"].(map[string]any)
	spec, _ := object["spec"].(map[string]any)
	if spec["action"] != "DENY" || text(metadata, "namespace") != MeshNamespace || dryRun(object) {
		return nil
	}
	if parsed := ParseAuthorizationPolicy(object); parsed.Detached || !selectsGateway(parsed.Selector) {
		return nil
	}
	var shields []Shield
	rules, _ := spec["rules"].([]any)
	for _, entry := range rules {
		rule, _ := entry.(map[string]any)
		header, hosts, ok := shieldOf(rule)
		if ok {
			shields = append(shields, Shield{Header: header, Hosts: hosts})
		}
	}
	return shields
}

// dryRun is true for a policy that istiod only logs (Istio pilot,
// security/authz/builder/builder.go).
func dryRun(object map[string]any) bool {
	value, _, _ := unstructured.NestedString(object, "metadata", "annotations", "istio.io/dry-run")
	return value == "true"
}

// selectsGateway is true for a selector that the Pods of Kyma's ingress gateway match.
func selectsGateway(selector map[string]string) bool {
	gateway := map[string]string{"istio": "ingressgateway", "app": "istio-ingressgateway"}
	for key, value := range selector {
		if gateway[key] != value {
			return false
		}
	}
	return true
}

// shieldOf reads a rule that has a header as its one condition.
func shieldOf(rule map[string]any) (header string, hosts []string, ok bool) {
	conditions, _ := rule["when"].([]any)
	if len(conditions) != 1 || rule["from"] != nil {
		return "", nil, false
	}
	condition, _ := conditions[0].(map[string]any)
	values, _, _ := unstructured.NestedStringSlice(condition, "values")
	name, bracket := strings.CutPrefix(text(condition, "key"), "request.headers[")
	name, closed := strings.CutSuffix(name, "]")
	if !bracket || !closed || condition["notValues"] != nil || !slices.Contains(values, "*") {
		return "", nil, false
	}
	if rule["to"] == nil {
		return strings.ToLower(name), nil, true
	}
	hosts = hostsOf(rule)
	return strings.ToLower(name), hosts, len(hosts) > 0
}

// hostsOf are the hosts of the operations that name nothing else.
func hostsOf(rule map[string]any) []string {
	var hosts []string
	targets, _ := rule["to"].([]any)
	for _, entry := range targets {
		target, _ := entry.(map[string]any)
		operation, _ := target["operation"].(map[string]any)
		if names, found, err := unstructured.NestedStringSlice(operation, "hosts"); found && err == nil && len(operation) == 1 {
			hosts = append(hosts, names...)
		}
	}
	return hosts
}
