// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"slices"
	"strings"
)

// GatewayPrincipal is the identity of Kyma's ingress gateway. The ALLOW policies that Kyma
// makes name it, and nobody else.
const GatewayPrincipal = "cluster.local/ns/" + MeshNamespace + "/sa/" + gatewayAccount

const gatewayAccount = "istio-ingressgateway-service-account"

// Allow is a part of an AuthorizationPolicy with the action ALLOW that lets in what Kyma's
// ingress gateway passes on, without a token. The zero value lets in everything.
type Allow struct {
	// Hosts, Methods and Paths are those of the requests that it lets in, as patterns; nil
	// is every one. The others are left out of these.
	Hosts, NotHosts, Methods, NotMethods, Paths, NotPaths []string
}

// The bounds of what is kept of a policy. What is beyond them counts as let in.
const (
	maxAllows   = 16
	maxPatterns = 16
	maxPattern  = 256
)

// allows is true for the spec of a policy with the action ALLOW, which is the default.
func allows(spec map[string]any) bool {
	return spec["action"] == nil || spec["action"] == "" || spec["action"] == "ALLOW"
}

// allowsOf returns what a policy of a namespace with that action lets in of what Kyma's ingress gateway passes
// on; nil if that is nothing. Conditions that it cannot weigh, such as addresses, count as
// met.
func allowsOf(spec map[string]any, namespace string) []Allow {
	var allows []Allow
	rules, _ := spec["rules"].([]any)
	for _, entry := range rules {
		rule, _ := entry.(map[string]any)
		if !admitsGateway(rule, namespace) {
			continue
		}
		if allows = append(allows, operationsOf(rule)...); len(allows) > maxAllows {
			return append(allows[:maxAllows-1], Allow{})
		}
	}
	return allows
}

// operationsOf returns what a rule lets in of whom it is about.
func operationsOf(rule map[string]any) []Allow {
	targets, _ := rule["to"].([]any)
	if len(targets) == 0 {
		return []Allow{{}}
	}
	allows := make([]Allow, 0, min(len(targets), maxAllows+1))
	for _, entry := range targets[:min(len(targets), maxAllows+1)] {
		target, _ := entry.(map[string]any)
		operation, _ := target["operation"].(map[string]any)
		allows = append(allows, Allow{
			Hosts: wanted(operation, "hosts"), NotHosts: unwanted(operation, "notHosts"),
			Methods: wanted(operation, "methods"), NotMethods: unwanted(operation, "notMethods"),
			Paths: wanted(operation, "paths"), NotPaths: unwanted(operation, "notPaths"),
		})
	}
	return allows
}

// wanted returns patterns, or nil, which stands for everything, if there are too many.
func wanted(object map[string]any, key string) []string {
	patterns := textsAt(object, key)
	if len(patterns) > maxPatterns || slices.ContainsFunc(patterns, func(one string) bool { return len(one) > maxPattern }) {
		return nil
	}
	return patterns
}

// unwanted returns patterns, without those that are too many.
func unwanted(object map[string]any, key string) []string {
	patterns := slices.DeleteFunc(textsAt(object, key), func(one string) bool { return len(one) > maxPattern })
	return patterns[:min(len(patterns), maxPatterns)]
}

// admitsGateway is true if a rule is about what the ingress gateway passes on, and needs no
// token.
func admitsGateway(rule map[string]any, namespace string) bool {
	conditions, _ := rule["when"].([]any)
	for _, entry := range conditions {
		condition, _ := entry.(map[string]any)
		if !meets(text(condition, "key"), textsAt(condition, "values"), textsAt(condition, "notValues"), namespace) {
			return false
		}
	}
	sources, _ := rule["from"].([]any)
	return len(sources) == 0 || slices.ContainsFunc(sources, func(entry any) bool {
		from, _ := entry.(map[string]any)
		source, _ := from["source"].(map[string]any)
		for key, field := range map[string]string{
			"source.principal": "principals", "source.namespace": "namespaces", "source.serviceAccount": "serviceAccounts",
			"request.auth.principal": "requestPrincipals",
		} {
			if !meets(key, textsAt(source, field), textsAt(source, "not"+strings.ToUpper(field[:1])+field[1:]), namespace) {
				return false
			}
		}
		return true
	})
}

// meets is true if a request that the gateway passes on without a token can meet a
// condition of a policy in a namespace.
func meets(key string, values, notValues []string, namespace string) bool {
	var is string
	switch {
	case key == "source.principal":
		is, values, notValues = GatewayPrincipal, trusted(values), trusted(notValues)
	case key == "source.namespace":
		is = MeshNamespace
	case key == "source.serviceAccount":
		is, values, notValues = MeshNamespace+"/"+gatewayAccount, within(values, namespace), within(notValues, namespace)
	case strings.HasPrefix(key, "request.auth."):
		return len(values) == 0 // no token has no claims
	default:
		return true
	}
	matches := func(pattern string) bool { return Matches(pattern, is) }
	return (len(values) == 0 || slices.ContainsFunc(values, matches)) && !slices.ContainsFunc(notValues, matches)
}

// trusted gives principals of any trust domain the one that Kyma writes.
func trusted(principals []string) []string {
	all := make([]string, 0, len(principals))
	for _, one := range principals {
		if domain, rest, found := strings.Cut(one, "/"); found && !strings.Contains(domain, "*") {
			one = "cluster.local/" + rest
		}
		all = append(all, one)
	}
	return all
}

// within gives accounts that name no namespace that of the policy.
func within(accounts []string, namespace string) []string {
	all := make([]string, 0, len(accounts))
	for _, one := range accounts {
		if !strings.Contains(one, "/") {
			one = namespace + "/" + one
		}
		all = append(all, one)
	}
	return all
}

// Matches is true if a value fits a pattern of an AuthorizationPolicy: the value itself,
// "*", or a beginning or an end with "*".
func Matches(pattern, value string) bool {
	if suffix, found := strings.CutPrefix(pattern, "*"); found {
		return strings.HasSuffix(value, suffix)
	}
	if prefix, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(value, prefix)
	}
	return pattern == value
}

// TakesHost is true if it lets in requests whose header Host is the host, as it is written. A
// host that begins with "*" stands for all that end like it; it is enough that one of them
// may be meant.
func (a Allow) TakesHost(host string) bool {
	return takes(a.Hosts, a.NotHosts, func(pattern string) bool { return meet(strings.ToLower(pattern), strings.ToLower(host)) },
		func(pattern string) bool { return Matches(strings.ToLower(pattern), strings.ToLower(host)) })
}

// TakesHostWithPort is true if it lets in requests whose header Host is the host, a colon and
// some port.
func (a Allow) TakesHostWithPort(host string) bool {
	return takes(a.Hosts, a.NotHosts, func(pattern string) bool { return meetsPort(strings.ToLower(pattern), strings.ToLower(host)) },
		func(pattern string) bool {
			prefix, found := strings.CutSuffix(strings.ToLower(pattern), "*")
			return found && strings.HasPrefix(strings.ToLower(host)+":", prefix)
		})
}

// takes is true if one of the wanted patterns can fit, and none of the unwanted fits always.
func takes(wanted, unwanted []string, can, always func(string) bool) bool {
	return (len(wanted) == 0 || slices.ContainsFunc(wanted, can)) && !slices.ContainsFunc(unwanted, always)
}

// meet is true if there is a text that fits both patterns.
func meet(a, b string) bool {
	apart := func(a, b string) bool { return strings.HasPrefix(a, "*") && strings.HasSuffix(b, "*") }
	return Matches(a, b) || Matches(b, a) || apart(a, b) || apart(b, a)
}

// meetsPort is true if a pattern can fit the host with a port behind it.
func meetsPort(pattern, host string) bool {
	name, port, found := strings.Cut(pattern, ":")
	switch {
	case pattern == "*":
		return true
	case found:
		return port != "" && meet(name, host)
	case strings.HasSuffix(pattern, "*"):
		return meet(pattern, host)
	case strings.HasPrefix(pattern, "*"):
		return strings.Trim(pattern[1:], "0123456789") == ""
	}
	return false
}
