// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// world is a cluster as a list of objects, without what Kyma makes of APIRules.
type world struct {
	Name    string                      `json:"world"`
	Objects []unstructured.Unstructured `json:"objects"`
}

func (w world) of(kind string) []unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(w.Objects), func(object unstructured.Unstructured) bool { return object.GetKind() != kind })
}

// without returns the world without one object.
func (w world) without(i int) world {
	return world{Name: w.Name, Objects: slices.Delete(slices.Clone(w.Objects), i, i+1)}
}

func object(version, kind, namespace, name string, rest map[string]any) unstructured.Unstructured {
	made := unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind}}
	maps.Copy(made.Object, rest)
	made.SetNamespace(namespace)
	made.SetName(name)
	return made
}

func labelled(labels map[string]string) map[string]any {
	made := map[string]any{}
	for key, value := range labels {
		made[key] = value
	}
	return made
}

// dice makes worlds out of few names, so that things meet.
type dice struct{ *rand.Rand }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func (d dice) once(in int) bool { return d.IntN(in) == 0 }

// selector is mostly one that another has labels in common with.
func (d dice) selector() map[string]string {
	return pick(d,
		map[string]string{"app": "w"}, map[string]string{"app": "w"}, map[string]string{"app": "w", "version": "v1"},
		map[string]string{"app": "w", "version": "v2"}, map[string]string{"app": "x"}, map[string]string{"tier": "web"},
		map[string]string{"app": "x", "tier": "web"})
}

// entry is an authorizer; one in three has something that the mesh does not take, or
// looks as if.
func (d dice) entry(name string) map[string]any {
	entry := map[string]any{"name": name, "service": name + ".auth.svc.cluster.local", "port": int64(80), "pathPrefix": "/v"}
	if !d.once(3) {
		return entry
	}
	host := entry["service"]
	switch d.IntN(8) {
	case 0:
		entry["service"] = pick(d, name, name+".auth.svc", "", "other/"+host.(string), host.(string)+":80", host.(string)+".",
			"http://"+host.(string), "Auth.example.com", "auth/*", "a/b/c", "gone.auth.svc.cluster.local")
	case 1:
		entry["service"] = pick(d, "auth/"+host.(string), "ext.example.com", "auth/ext.example.com")
	case 2:
		entry["port"] = pick(d, int64(0), int64(65536), int64(65535))
	case 3:
		entry["pathPrefix"] = pick(d, "/%zz", "v", "/a?b=", "", "/a b")
	case 4:
		lists := pick(d, [2]string{"inCheck", "include"}, [2]string{"toUpstream", "onAllow"}, [2]string{"toDownstream", "onAllow"}, [2]string{"toDownstream", "onDeny"})
		entry["headers"] = map[string]any{lists[0]: map[string]any{lists[1]: []any{"x-a", pick(d, "*", "x-*", "*-x")}}}
	case 5:
		entry["name"] = pick(d, "stdout-json", "kyma-traces", "kyma-logs", "envoy", "Ext_B", "-a", "a.b")
	case 6:
		entry["timeout"] = pick(d, "5s", "1m", "1500ms")
	case 7:
		delete(entry, pick(d, "service", "pathPrefix", "port"))
	}
	return entry
}

func (d dice) byHand(i int, names []string) unstructured.Unstructured {
	spec := map[string]any{"rules": []any{map[string]any{}}}
	if d.once(6) {
		spec["action"] = pick(d, "ALLOW", "DENY")
	} else {
		spec["action"], spec["provider"] = "CUSTOM", map[string]any{"name": pick(d, append(names, "nobody")...)}
	}
	switch d.IntN(6) {
	case 0:
		spec["targetRefs"] = []any{map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}}
	case 1:
		spec["targetRef"] = map[string]any{"group": "", "kind": "Service", "name": "s0"}
	case 2, 3, 4:
		spec["selector"] = map[string]any{"matchLabels": labelled(d.selector())}
	}
	return object("security.istio.io/v1", "AuthorizationPolicy", pick(d, "a", "b", "istio-system"), fmt.Sprintf("hand%d", i), map[string]any{"spec": spec})
}

func (d dice) apirule(i int, names []string) unstructured.Unstructured {
	rules := make([]any, 0, 2)
	for j := range 1 + d.IntN(2) {
		rule := map[string]any{"path": fmt.Sprintf("/%d", j), "methods": []any{"GET"}, "service": map[string]any{"name": fmt.Sprintf("s%d", d.IntN(3)), "port": int64(80)}}
		switch d.IntN(8) {
		case 0:
			rule["noAuth"] = true
		case 1:
			rule["jwt"] = map[string]any{"authentications": []any{map[string]any{"issuer": "https://i.example.com", "jwksUri": "https://i.example.com/k"}}}
		case 2:
			rule["extAuth"] = map[string]any{"authorizers": []any{pick(d, names...), pick(d, names...)}}
		default:
			rule["extAuth"] = map[string]any{"authorizers": []any{pick(d, names...)}}
		}
		rules = append(rules, rule)
	}
	return object("gateway.kyma-project.io/v2", "APIRule", pick(d, "a", "a", "b"), fmt.Sprintf("r%d", i), map[string]any{"spec": map[string]any{
		"hosts": []any{fmt.Sprintf("r%d.example.com", i)}, "gateway": "kyma-system/kyma-gateway", "rules": rules,
	}})
}

// newWorld makes a world of a seed: always the same one.
func newWorld(t testing.TB, seed uint64) world {
	t.Helper()
	d := dice{rand.New(rand.NewPCG(seed, 17))} //nolint:gosec // the same worlds every time
	made := world{Name: fmt.Sprintf("seed %d", seed)}
	add := func(object unstructured.Unstructured) { made.Objects = append(made.Objects, object) }
	for _, name := range []string{"a", "b", "auth", "istio-system", "kyma-system"} {
		namespace := object("v1", "Namespace", "", name, nil)
		namespace.SetLabels(map[string]string{"istio-injection": "enabled"})
		add(namespace)
	}
	add(object("networking.istio.io/v1beta1", "Gateway", "kyma-system", "kyma-gateway", map[string]any{"spec": map[string]any{
		"servers": []any{map[string]any{"hosts": []any{"*.example.com"}}},
	}}))
	add(object("networking.istio.io/v1", "ServiceEntry", "auth", "ext", map[string]any{"spec": map[string]any{"hosts": []any{"ext.example.com"}}}))
	var entries []any
	names := []string{}
	for _, name := range []string{"oauth2-proxy", "corp"} {
		entry := d.entry(name)
		entries = append(entries, entry)
		names = append(names, entry["name"].(string))
		add(object("v1", "Service", "auth", name, map[string]any{"spec": map[string]any{"ports": []any{map[string]any{"port": int64(80)}}, "selector": map[string]any{"app": name}}}))
	}
	cr := object("operator.kyma-project.io/v1alpha2", "Istio", "kyma-system", "default", map[string]any{
		"spec": map[string]any{"config": map[string]any{"authorizers": entries}}, "status": map[string]any{"state": pick(d, "Ready", "Ready", "Warning")},
	})
	add(cr)
	mesh, err := managers.Mesh(cr)
	if err != nil { // a name is there twice: the configuration stays as it was
		mesh, err = managers.Mesh(unstructured.Unstructured{Object: map[string]any{}})
	}
	require.NoError(t, err)
	text, err := managers.MeshText(mesh)
	require.NoError(t, err)
	add(object("v1", "ConfigMap", "istio-system", "istio", map[string]any{"data": map[string]any{"mesh": text}}))
	if d.once(8) {
		names = append(names, "nobody")
	}
	for _, namespace := range []string{"a", "b"} {
		for i := range 3 {
			selector := d.selector()
			add(object("v1", "Service", namespace, fmt.Sprintf("s%d", i), map[string]any{"spec": map[string]any{
				"ports": []any{map[string]any{"port": int64(80)}}, "selector": labelled(selector),
			}}))
			if d.once(10) {
				continue
			}
			pod := object("v1", "Pod", namespace, fmt.Sprintf("p%d", i), map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "istio-proxy"}}}})
			if d.once(6) {
				maps.Copy(selector, d.selector())
			}
			pod.SetLabels(selector)
			add(pod)
		}
	}
	for i := range 1 + d.IntN(4) {
		add(d.apirule(i, names))
	}
	for i := range d.IntN(3) {
		add(d.byHand(i, names))
	}
	return made
}

// print shows a world, as a line that the program reads.
func (w world) print(t testing.TB) string {
	t.Helper()
	raw, err := json.Marshal(w)
	require.NoError(t, err)
	return string(raw)
}
