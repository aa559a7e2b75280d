// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// sent is a request that arrives at a Pod, as the program reads it.
type sent struct {
	Pod       string            `json:"pod"`
	Host      string            `json:"host"`
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	Headers   map[string]string `json:"headers,omitempty"`
	Principal string            `json:"principal,omitempty"`
	Claims    map[string]string `json:"claims,omitempty"`
}

func (s sent) String() string {
	return fmt.Sprintf("%s %s%s from %q with %v and claims %v to %s", s.Method, s.Host, s.Path, s.Principal, s.Headers, s.Claims, s.Pod)
}

// outcome is what the filters of a Pod make of a request.
type outcome struct {
	Asked  []string `json:"asked"`
	Denied string   `json:"denied"`
}

// outcomes sends requests to the Pods of a world.
func (i istiod) outcomes(t *testing.T, objects []unstructured.Unstructured, requests []sent) []outcome {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"world": t.Name(), "objects": objects, "requests": requests})
	require.NoError(t, err)
	_, err = fmt.Fprintln(i.in, string(raw))
	require.NoError(t, err)
	line, err := i.out.ReadBytes('\n')
	require.NoError(t, err)
	var said struct {
		Error    string            `json:"error"`
		Refused  map[string]string `json:"refused"`
		Outcomes []outcome         `json:"outcomes"`
	}
	require.NoError(t, json.Unmarshal(line, &said))
	require.Empty(t, said.Error)
	require.Empty(t, said.Refused)
	require.Len(t, said.Outcomes, len(requests))
	return said.Outcomes
}

// exposed is a world with one APIRule, whose rules overlap.
func exposed(seed uint64) (objects []unstructured.Unstructured, rule unstructured.Unstructured) {
	d := dice{rand.New(rand.NewPCG(seed, 18))} //nolint:gosec // the same worlds every time
	for _, name := range []string{"a", "auth", "istio-system", "kyma-system"} {
		namespace := object("v1", "Namespace", "", name, nil)
		namespace.SetLabels(map[string]string{"istio-injection": "enabled"})
		objects = append(objects, namespace)
	}
	for i := range 2 {
		labels := map[string]string{"app": fmt.Sprintf("s%d", i)}
		pod := object("v1", "Pod", "a", fmt.Sprintf("p%d", i), map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "istio-proxy"}}}})
		pod.SetLabels(labels)
		objects = append(objects, pod, object("v1", "Service", "a", fmt.Sprintf("s%d", i), map[string]any{"spec": map[string]any{
			"ports": []any{map[string]any{"port": int64(80)}}, "selector": labelled(labels),
		}}))
	}
	gateway := object("v1", "Pod", "istio-system", "gateway", map[string]any{"spec": map[string]any{}})
	gateway.SetLabels(map[string]string{"istio": "ingressgateway", "app": "istio-ingressgateway"})
	objects = append(objects, gateway,
		object("v1", "Service", "auth", "corp", map[string]any{"spec": map[string]any{"ports": []any{map[string]any{"port": int64(80)}}, "selector": labelled(map[string]string{"app": "corp"})}}),
		object("networking.istio.io/v1beta1", "Gateway", "kyma-system", "kyma-gateway", map[string]any{"spec": map[string]any{
			"servers": []any{map[string]any{"hosts": []any{"*.example.com"}}},
		}}))
	return objects, d.overlapping()
}

// overlapping is an APIRule whose rules have paths that take requests from each other.
func (d dice) overlapping() unstructured.Unstructured {
	rules := make([]any, 0, 3)
	for range 1 + d.IntN(3) {
		methods := pick(d, []any{"GET"}, []any{"GET", "POST"}, []any{"POST", "PUT"})
		rule := map[string]any{
			"path":    pick(d, "/", "/*", "/{**}", "/a", "/a/{*}", "/a/{**}", "/{*}/b", "/{**}/c", "/a.b"),
			"methods": methods,
			"service": map[string]any{"name": pick(d, "s0", "s0", "s1"), "port": int64(80)},
		}
		switch d.IntN(4) {
		case 0:
			rule["noAuth"] = true
		case 1:
			rule["jwt"] = map[string]any{"authentications": []any{map[string]any{"issuer": "https://i.example.com", "jwksUri": "https://i.example.com/k"}}}
		default:
			rule["extAuth"] = map[string]any{"authorizers": []any{"corp"}}
		}
		rules = append(rules, rule)
	}
	return object("gateway.kyma-project.io/v2", "APIRule", "a", "r", map[string]any{"spec": map[string]any{
		"hosts": []any{pick(d, "r.example.com", "r", "R.example.com")}, "gateway": "kyma-system/kyma-gateway", "rules": rules,
	}})
}

// routedTo returns the Service to which a VirtualService leads a request; "" for none. A
// host with a port is that host (Istio pilot, core/route: each domain has a twin with ":*").
func routedTo(t *testing.T, route unstructured.Unstructured, request sent) string {
	t.Helper()
	hosts, _, _ := unstructured.NestedStringSlice(route.Object, "spec", "hosts")
	name, _, _ := strings.Cut(request.Host, ":")
	if !slices.ContainsFunc(hosts, func(host string) bool { return strings.EqualFold(host, name) }) {
		return ""
	}
	routes, _, _ := unstructured.NestedSlice(route.Object, "spec", "http")
	for _, entry := range routes {
		of := entry.(map[string]any)
		match := of["match"].([]any)[0].(map[string]any)
		prefix, whole := match["uri"].(map[string]any)["prefix"].(string)
		expression, _ := match["uri"].(map[string]any)["regex"].(string)
		fits := whole && strings.HasPrefix(request.Path, prefix) || !whole && regexp.MustCompile("^(?:"+expression+")$").MatchString(request.Path)
		if fits && regexp.MustCompile(match["method"].(map[string]any)["regex"].(string)).MatchString(request.Method) {
			host, _, _ := unstructured.NestedString(of["route"].([]any)[0].(map[string]any), "destination", "host")
			service, _, _ := strings.Cut(host, ".")
			return service
		}
	}
	return ""
}

// fateOf is what becomes of a request without and with a token.
func fateOf(without, with outcome) policy.Fate {
	switch {
	case without.Denied != "" && with.Denied == "":
		return policy.NeedsToken
	case without.Denied != "":
		return policy.Denied
	case len(without.Asked) > 0:
		return policy.Asked
	}
	return policy.LetIn
}

// TestRequestsOfGeneratedWorlds compares what explain says of requests with what Kyma's
// routes and the filters that istiod builds make of them.
func TestRequestsOfGeneratedWorlds(t *testing.T) {
	oracle := start(t)
	counted, requests := map[policy.Fate]int{}, 0
	for i := range uint64(*worlds) / 10 {
		objects, rule := exposed(*seed + i)
		objects = append(objects, registry(t)...)
		outcome, err := managers.ClusterOf(objects).Reconcile(rule)
		require.NoError(t, err)
		if len(outcome.Failures) > 0 {
			continue
		}
		var all []sent
		for _, host := range []string{"r.example.com", "r.example.com:443", "R.EXAMPLE.com", "x.example.com"} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/a.b", "/axb", "/a/b%2Fc", "/c"} {
					all = append(all, sent{Host: host, Method: method, Path: path})
				}
			}
		}
		theirs := fates(t, oracle, objects, outcome.Objects, all)
		made := ourWorld(t, world{Objects: append(slices.Clone(objects), rule)})
		made.SetGateway(types.NamespacedName{Namespace: "kyma-system", Name: "kyma-gateway"}, "example.com")
		view := apirule.Parse(rule.Object, "")
		facts := made.Facts(t.Context(), view)
		judged := policy.Judge(view, facts, policy.DefaultSettings())
		for j, request := range all {
			ours := policy.TraceRequest(view, "example.com", facts, judged, policy.Request{Method: request.Method, Path: request.Path, Host: request.Host})
			requests++
			counted[ours.Fate]++
			if ours.Fate != theirs[j] {
				t.Errorf("seed %d, %s: ours %s (%s), theirs %s\n%s", *seed+i, request, ours.Fate, ours.Why, theirs[j], rules(t, rule))
				return
			}
		}
	}
	t.Logf("%d requests, 0 differences: %v", requests, counted)
	assert.Len(t, counted, 5, "there are some of each fate that can be told")
}

// fates sends requests through the gateway, each without and with a token.
func fates(t *testing.T, oracle istiod, objects, kyma []unstructured.Unstructured, all []sent) []policy.Fate {
	t.Helper()
	route := kyma[slices.IndexFunc(kyma, func(of unstructured.Unstructured) bool { return of.GetKind() == "VirtualService" })]
	fates := make([]policy.Fate, len(all))
	var arriving []sent
	for i, request := range all {
		fates[i] = policy.NotRouted
		if service := routedTo(t, route, request); service != "" {
			request.Pod, request.Principal = "a/p"+strings.TrimPrefix(service, "s"), managers.IngressGateway
			withToken := request
			withToken.Claims = map[string]string{"iss": "https://i.example.com", "sub": "somebody"}
			arriving = append(arriving, request, withToken)
			fates[i] = ""
		}
	}
	said := oracle.outcomes(t, append(slices.Clone(objects), kyma...), arriving)
	for i := range fates {
		if fates[i] == "" {
			fates[i], said = fateOf(said[0], said[1]), said[2:]
		}
	}
	return fates
}

// registry is an Istio CR with one authorizer, and the mesh that it makes.
func registry(t *testing.T) []unstructured.Unstructured {
	t.Helper()
	cr := object("operator.kyma-project.io/v1alpha2", "Istio", "kyma-system", "default", map[string]any{
		"spec": map[string]any{"config": map[string]any{"authorizers": []any{map[string]any{
			"name": "corp", "service": "corp.auth.svc.cluster.local", "port": int64(80), "pathPrefix": "/v",
		}}}},
		"status": map[string]any{"state": "Ready"},
	})
	mesh, err := managers.Mesh(cr)
	require.NoError(t, err)
	text, err := managers.MeshText(mesh)
	require.NoError(t, err)
	return []unstructured.Unstructured{cr, object("v1", "ConfigMap", "istio-system", "istio", map[string]any{"data": map[string]any{"mesh": text}})}
}

func rules(t *testing.T, of unstructured.Unstructured) string {
	t.Helper()
	raw, err := json.MarshalIndent(of.Object["spec"], "", "  ")
	require.NoError(t, err)
	return string(raw)
}

// TestTheShieldDeniesIdentityHeadersOnly holds the policy that the bootstrap job writes
// against what istiod makes of it for the ingress gateway.
func TestTheShieldDeniesIdentityHeadersOnly(t *testing.T) {
	oracle := start(t)
	objects, _ := exposed(1)
	headers := oauth2proxy.IdentityHeaders()
	require.NotEmpty(t, headers)
	shield := object("security.istio.io/v1", "AuthorizationPolicy", istio.MeshNamespace, "shield", map[string]any{"spec": istio.ShieldSpec("example.com", headers)})
	objects = append(objects, shield)
	var requests []sent
	var denied []bool
	for _, host := range []string{"r.example.com", "a.b.example.com", "R.Example.COM", "r.example.org", "example.com"} {
		covered := strings.HasSuffix(strings.ToLower(host), ".example.com")
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			for _, pod := range []string{"istio-system/gateway", "a/p0"} {
				with := func(name, value string) {
					requests = append(requests, sent{Pod: pod, Host: host, Method: method, Path: "/", Headers: map[string]string{name: value}})
				}
				for _, header := range headers {
					with(header, "somebody")
					with(header, "")
					denied = append(denied, covered && pod != "a/p0", covered && pod != "a/p0")
				}
				for _, other := range []string{"authorization", "cookie", "x-request-id", "x-auth", "x-forwarded-for"} {
					with(other, "something")
					denied = append(denied, false)
				}
			}
		}
	}
	said := oracle.outcomes(t, objects, requests)
	for i, want := range denied {
		assert.Equal(t, want, said[i].Denied == "deny", "%s: %+v", requests[i], said[i])
	}
	t.Logf("%d requests with %d identity headers and others", len(requests), len(headers))
}
