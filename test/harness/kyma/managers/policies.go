// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The labels that say which APIRule an object was made of.
const (
	OwnerName      = "apirule.gateway.kyma-project.io/name"
	OwnerNamespace = "apirule.gateway.kyma-project.io/namespace"
)

// IngressGateway is the identity that Kyma's policies let in.
const IngressGateway = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"

// policies returns the AuthorizationPolicies of an APIRule that was not refused.
func (c Cluster) policies(a apirule) []unstructured.Unstructured {
	var made []unstructured.Unstructured
	for _, r := range a.Spec.Rules {
		to := map[string]any{
			"hosts":   texts(c.hosts(a)),
			"methods": texts(r.Methods),
			"paths":   []any{standard(r.Path)},
		}
		if except := notPaths(a.Spec.Rules, r); len(except) > 0 {
			to["notPaths"] = texts(except)
		}
		index := 0
		add := func(spec map[string]any) {
			made = append(made, c.policy(a, r, index, spec))
			index++
		}
		if r.ExtAuth != nil {
			for _, name := range r.ExtAuth.Authorizers {
				add(map[string]any{
					"action":   "CUSTOM",
					"provider": map[string]any{"name": name},
					"rules":    []any{map[string]any{"to": operation(to)}},
				})
			}
		}
		for _, allowed := range authorizations(r) {
			add(map[string]any{"rules": allowRules(r, allowed, to)})
		}
	}
	return made
}

// authorizations returns one for each ALLOW policy of a rule: a rule that demands
// nothing of tokens has one policy, too.
func authorizations(r rule) []authorization {
	if wants := r.restrictions(); wants != nil && len(wants.Authorizations) > 0 {
		return wants.Authorizations
	}
	return []authorization{{}}
}

// allowRules returns the rules of an ALLOW policy: one for each claim that may hold
// scopes, else one.
func allowRules(r rule, allowed authorization, to map[string]any) []any {
	source := map[string]any{"principals": []any{IngressGateway}}
	if wants := r.restrictions(); wants != nil {
		var principals []any
		for _, one := range wants.Authentications {
			principals = append(principals, one.Issuer+"/*")
		}
		source["requestPrincipals"] = principals
	}
	claims := []string{"scp", "scope", "scopes"}
	if len(allowed.RequiredScopes) == 0 {
		claims = []string{""}
	}
	rules := make([]any, 0, len(claims))
	for _, claim := range claims {
		made := map[string]any{"from": []any{map[string]any{"source": source}}, "to": operation(to)}
		var when []any
		for _, scope := range allowed.RequiredScopes {
			when = append(when, map[string]any{"key": "request.auth.claims[" + claim + "]", "values": []any{scope}})
		}
		for _, audience := range allowed.Audiences {
			when = append(when, map[string]any{"key": "request.auth.claims[aud]", "values": []any{audience}})
		}
		if len(when) > 0 {
			made["when"] = when
		}
		rules = append(rules, made)
	}
	return rules
}

func operation(of map[string]any) []any {
	return []any{map[string]any{"operation": of}}
}

func (c Cluster) policy(a apirule, r rule, index int, spec map[string]any) unstructured.Unstructured {
	service, _ := a.serviceOf(r)
	selector, _ := c.selectorOf(service) // a Service that is not there was refused
	spec["selector"] = map[string]any{"matchLabels": labels(selector)}
	first, _ := spec["rules"].([]any)[0].(map[string]any)
	hash := hashOf(service.Namespace, selector, first["to"])
	object := a.object("security.istio.io/v1beta1", "AuthorizationPolicy", service.Namespace, hash+strconv.Itoa(index), spec)
	of := object.GetLabels()
	of["gateway.kyma-project.io/hash"], of["gateway.kyma-project.io/index"] = hash, strconv.Itoa(index)
	object.SetLabels(of)
	return object
}

// object returns an object that belongs to the APIRule. Its name is the same as long
// as its key is.
func (a apirule) object(version, kind, namespace, key string, spec map[string]any) unstructured.Unstructured {
	object := unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "spec": spec}}
	object.SetNamespace(namespace)
	object.SetGenerateName(a.Metadata.Name + "-")
	object.SetName(a.Metadata.Name + "-" + hashOf(a.Metadata.Namespace, kind, key))
	const module = "api-gateway"
	object.SetLabels(map[string]string{
		OwnerName: a.Metadata.Name, OwnerNamespace: a.Metadata.Namespace,
		"kyma-project.io/module":       module,
		"app.kubernetes.io/managed-by": module,
		"app.kubernetes.io/component":  module,
		"app.kubernetes.io/part-of":    module,
	})
	return object
}

// hosts returns the hosts of the APIRule, whole.
func (c Cluster) hosts(a apirule) []string {
	hosts := make([]string, 0, len(a.Spec.Hosts))
	for _, of := range a.Spec.Hosts {
		hosts = append(hosts, host(of, c.domainOf(a.gateway())))
	}
	return hosts
}

// standard returns the path in the form in which policies know it.
func standard(path string) string {
	if path == "/*" {
		return "/{**}"
	}
	return path
}

// notPaths returns the paths of the rules before a rule that share a method with
// it. Paths that are everything, or "/", are left out. What begins at the first
// rule of the same path no longer counts.
func notPaths(rules []rule, of rule) []string {
	var paths []string
	for _, earlier := range rules {
		path := standard(earlier.Path)
		if path == "/{**}" || path == "/" {
			continue
		}
		if earlier.Path == of.Path {
			break
		}
		if slices.ContainsFunc(earlier.Methods, func(method string) bool { return slices.Contains(of.Methods, method) }) {
			paths = append(paths, earlier.Path)
		}
	}
	return paths
}

func hashOf(parts ...any) string {
	raw, err := json.Marshal(parts)
	if err != nil {
		raw = fmt.Append(nil, parts...)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:5])
}

func texts(of []string) []any {
	all := make([]any, 0, len(of))
	for _, text := range of {
		all = append(all, text)
	}
	return all
}

func labels(of map[string]string) map[string]any {
	all := make(map[string]any, len(of))
	for key, value := range of {
		all[key] = value
	}
	return all
}
