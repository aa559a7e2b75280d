// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// defaultTimeout is what a route gets whose APIRule names none, in seconds.
const defaultTimeout = 180

// route returns the VirtualService of an APIRule that was not refused.
func (c Cluster) route(a apirule) unstructured.Unstructured {
	routes := make([]any, 0, len(a.Spec.Rules))
	for _, r := range a.Spec.Rules {
		routes = append(routes, c.httpRoute(a, r))
	}
	return a.object("networking.istio.io/v1beta1", "VirtualService", a.Metadata.Namespace, "", map[string]any{
		"hosts":    texts(c.hosts(a)),
		"gateways": []any{a.gateway().String()},
		"http":     routes,
	})
}

func (c Cluster) httpRoute(a apirule, r rule) map[string]any {
	service, port := a.serviceOf(r)
	uri := map[string]any{"regex": Regex(r.Path)}
	if standard(r.Path) == "/{**}" {
		uri = map[string]any{"prefix": "/"}
	}
	made := map[string]any{
		"match": []any{map[string]any{
			"uri":    uri,
			"method": map[string]any{"regex": "^(" + strings.Join(r.Methods, "|") + ")$"},
		}},
		"route": []any{map[string]any{
			"destination": map[string]any{
				"host": service.Name + "." + service.Namespace + ".svc.cluster.local",
				"port": map[string]any{"number": port},
			},
			"weight": int64(100),
		}},
		"timeout": fmt.Sprintf("%ds", cmp.Or(r.Timeout, a.Spec.Timeout, defaultTimeout)),
		"headers": map[string]any{
			"request": map[string]any{"set": c.requestHeaders(a, r)},
			"response": map[string]any{"remove": []any{
				"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Headers",
				"Access-Control-Allow-Credentials", "Access-Control-Allow-Methods", "Access-Control-Max-Age",
			}},
		},
	}
	if cors := corsPolicy(a.Spec.CorsPolicy); cors != nil {
		made["corsPolicy"] = cors
	}
	return made
}

func (c Cluster) requestHeaders(a apirule, r rule) map[string]any {
	forwarded := host(a.Spec.Hosts[0], c.domainOf(a.gateway()))
	if strings.HasPrefix(forwarded, "*.") {
		forwarded = "%REQ(:AUTHORITY)%"
	}
	set := map[string]any{"x-forwarded-host": forwarded}
	for name, value := range r.Request.Headers {
		set[name] = value
	}
	cookies := make([]string, 0, len(r.Request.Cookies))
	for _, name := range slices.Sorted(maps.Keys(r.Request.Cookies)) {
		cookies = append(cookies, name+"="+r.Request.Cookies[name])
	}
	if len(cookies) > 0 {
		set["Cookie"] = strings.Join(cookies, "; ")
	}
	return set
}

// corsPolicy returns what a route gets; a policy without origins is left out.
func corsPolicy(of map[string]any) map[string]any {
	if origins, _ := of["allowOrigins"].([]any); len(origins) == 0 {
		return nil
	}
	made := maps.Clone(of)
	if seconds, ok := of["maxAge"].(float64); ok {
		made["maxAge"] = fmt.Sprintf("%.0fs", seconds)
	}
	return made
}

// Regex returns the regular expression by which a VirtualService matches a path of
// an APIRule.
func Regex(path string) string {
	// The longer operator first: it has none of the shorter one in it.
	path = strings.ReplaceAll(path, "{**}", `([A-Za-z0-9-._~!$&'()*+,;=:@/]|%[0-9a-fA-F]{2})*`)
	path = strings.ReplaceAll(path, "{*}", `([A-Za-z0-9-._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+`)
	return "^" + path + "$"
}

// tokens returns the RequestAuthentications of an APIRule that was not refused: one
// for each rule that reads tokens.
func (c Cluster) tokens(a apirule) []unstructured.Unstructured {
	var made []unstructured.Unstructured
	for _, r := range a.Spec.Rules {
		wants := r.restrictions()
		if wants == nil {
			continue
		}
		service, _ := a.serviceOf(r)
		selector, _ := c.selectorOf(service) // a Service that is not there was refused
		spec := map[string]any{
			"selector": map[string]any{"matchLabels": labels(selector)},
			"jwtRules": jwtRules(wants.Authentications),
		}
		object := a.object("security.istio.io/v1beta1", "RequestAuthentication", service.Namespace, hashOf(spec), spec)
		same := func(other unstructured.Unstructured) bool {
			return other.GetNamespace() == object.GetNamespace() && other.GetName() == object.GetName()
		}
		if !slices.ContainsFunc(made, same) {
			made = append(made, object)
		}
	}
	return made
}

func jwtRules(of []authentication) []any {
	rules := make([]any, 0, len(of))
	for _, one := range of {
		made := map[string]any{"issuer": one.Issuer, "jwksUri": one.JwksURI, "forwardOriginalToken": true}
		var headers []any
		for _, header := range one.FromHeaders {
			headers = append(headers, map[string]any{"name": header.Name, "prefix": header.Prefix})
		}
		if headers != nil {
			made["fromHeaders"] = headers
		}
		if one.FromParams != nil {
			made["fromParams"] = texts(one.FromParams)
		}
		rules = append(rules, made)
	}
	return rules
}
