// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// TestInternalTrafficOfGeneratedWorlds sends requests from inside the mesh without and with
// what Kyma makes of an APIRule: it is said of a Service that its callers will get 403
// exactly where the APIRule makes that so.
func TestInternalTrafficOfGeneratedWorlds(t *testing.T) {
	oracle := start(t)
	said, silent := 0, 0
	for i := range uint64(*worlds) / 10 {
		objects, rule := exposed(*seed + i)
		d := dice{rand.New(rand.NewPCG(*seed+i, 20))} //nolint:gosec // the same worlds every time
		objects = append(append(objects, registry(t)...), d.around()...)
		made, err := managers.ClusterOf(objects).Reconcile(rule)
		require.NoError(t, err)
		if len(made.Failures) > 0 {
			continue
		}
		view := apirule.Parse(rule.Object, "")
		findings := policy.Check(view, ourWorld(t, world{Objects: objects}).Facts(t.Context(), view), policy.DefaultSettings())
		before := slices.Clone(objects)
		for _, other := range (world{Objects: objects}).of("APIRule") {
			policies, err := managers.ClusterOf(objects).Policies(other)
			require.NoError(t, err)
			before = append(before, policies...)
		}
		requests := []sent{caller("a/p0"), caller("a/p1")}
		without, with := oracle.outcomes(t, before, requests), oracle.outcomes(t, append(slices.Clone(before), made.Objects...), requests)
		for j := range requests {
			shut := without[j].Denied == "" && with[j].Denied != ""
			subject := fmt.Sprintf("a/s%d", j)
			ours := slices.ContainsFunc(findings, func(one policy.Finding) bool {
				return one.Code == policy.InternalTrafficBlocked && one.Subject == subject
			})
			if ours != shut {
				t.Errorf("seed %d, callers of %s: ours %t, theirs %t (%+v, then %+v)\n%s", *seed+i, subject, ours, shut, without[j], with[j], rules(t, rule))
				return
			}
			if ours {
				said++
			} else {
				silent++
			}
		}
	}
	t.Logf("callers of %d Services shut out, and of %d not: 0 differences", said, silent)
	assert.Positive(t, said)
	assert.Positive(t, silent)
}

// caller is a request from inside the mesh.
func caller(pod string) sent {
	return sent{Pod: pod, Host: "s.a.svc.cluster.local", Method: "GET", Path: "/", Principal: "cluster.local/ns/shop/sa/default"}
}

// around are other things that may be in front of the Services.
func (d dice) around() (objects []unstructured.Unstructured) {
	if d.once(3) {
		other := d.overlapping()
		other.SetName("other")
		spec := other.Object["spec"].(map[string]any)
		spec["hosts"] = []any{"other.example.com"}
		objects = append(objects, other)
	}
	if d.once(2) {
		spec := map[string]any{"rules": []any{pick(d,
			map[string]any{}, map[string]any{"from": []any{map[string]any{"source": map[string]any{"namespaces": []any{"shop"}}}}},
			map[string]any{"from": []any{map[string]any{"source": map[string]any{"namespaces": []any{"bank"}}}}})}}
		if d.once(3) {
			spec = map[string]any{"action": "CUSTOM", "provider": map[string]any{"name": "corp"}, "rules": []any{map[string]any{}}}
		}
		switch d.IntN(4) {
		case 0:
			spec["targetRefs"] = []any{map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}}
		case 1, 2:
			spec["selector"] = map[string]any{"matchLabels": map[string]any{"app": pick(d, "s0", "s1", "other")}}
		}
		objects = append(objects, object("security.istio.io/v1", "AuthorizationPolicy", pick(d, "a", "b", "istio-system"), "hand", map[string]any{"spec": spec}))
	}
	return objects
}
