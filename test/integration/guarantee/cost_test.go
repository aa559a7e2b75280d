// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package guarantee_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	policies "github.com/extauth-guard/extauth-guard/test/harness/guarantee"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// many is how many there are of each: the API server ends an expression that costs more
// than its budget, and the policies then refuse. The budget is one of each ExtAuthPolicy,
// so what takes long is compared for a few of them only, in a namespace of its own.
const (
	manyRules       = 50
	manyAuthorizers = 100
	manyPolicies    = 100
	fewPolicies     = 2
)

// The cost of the policies stays within the budget of the API server, whatever it is
// that has to be compared: nothing that is right is refused for it.
func TestCost(t *testing.T) {
	s := stage{kyma.Start(t)}
	s.Namespace("shop", nil)
	s.Namespace("few", map[string]string{"few": "true"})
	known := published()
	var entries []istio.Authorizer
	names := make([]string, 0, manyAuthorizers)
	for i := range manyAuthorizers {
		names = append(names, fmt.Sprintf("authorizer-with-a-long-name-%d", i))
		entries = append(entries, istio.Authorizer{Name: names[i], Service: fmt.Sprintf("a-%d.auth.svc.cluster.local", i), Port: 80})
	}
	known.Registry = policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", Authorizers: entries})
	for i := range manyPolicies {
		selector := `{key: a, operator: NotIn, values: [b]}`
		if i >= fewPolicies {
			selector += `, {key: few, operator: DoesNotExist}`
		}
		s.Apply(fmt.Sprintf(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: policy-%d}, spec: {mode: Enforce, match: {
			namespaceSelector: {matchExpressions: [%s]}, hosts: ["*.example.com", "*.example.org"]},
			require: {authorizers: [%s]}, exemptions: [%s]}}`, i, selector, strings.Join(names[manyAuthorizers-32:], ", "),
			strings.Repeat(`{namespace: few, name: other, paths: ["/a/{**}"], reason: r, owner: o, expires: "2099-01-01"}, `, 50)))
	}
	require.NoError(t, policies.Install(t.Context(), s.Plane.Config(), "shop", guarantee.Parameters(known)))
	rules := func(open func(int) bool, authorizer string) string {
		all := make([]string, 0, manyRules)
		for i := range manyRules {
			strategy := "extAuth: {authorizers: [" + authorizer + "]}"
			if open(i) {
				strategy = "noAuth: true"
			}
			all = append(all, fmt.Sprintf(`{path: "/service-%d/{*}/part/{**}", methods: [GET, POST, PUT, DELETE], %s}`, i, strategy))
		}
		return strings.Join(all, ", ")
	}
	last := names[manyAuthorizers-1]
	none, half, all := func(int) bool { return false }, func(i int) bool { return i%2 == 1 }, func(int) bool { return true }
	for name, tc := range map[string]struct {
		before, after string
		want          string
	}{
		"created, all right":                                       {"", rules(none, last), ""},
		"created, all open":                                        {"", rules(all, last), "PolicyViolation"},
		"half of it open from before":                              {rules(half, last), rules(half, last), ""},
		"all of it open from before":                               {rules(all, last), rules(all, last), ""},
		"the catch-all behind everything open":                     {rules(half, last) + ", " + open, rules(half, last) + ", " + open, ""},
		"a catch-all that a protected rule no longer has in front": {rules(none, last) + ", " + open, strings.SplitAfterN(rules(none, last), "}}, ", 2)[1] + ", " + open, "PolicyViolation"},
		"all of it unregistered from before":                       {rules(none, "gone"), rules(none, "gone"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := "few"
			if tc.before == "" {
				namespace = "shop"
			}
			client, dry := s.Untyped.Resource(apirules).Namespace(namespace), []string{metav1.DryRunAll}
			object, began := apirule(t, namespace, "cost", `extauth-guard.io/inject: "true"`, tc.after), time.Now()
			if tc.before == "" {
				_, err := client.Create(t.Context(), object, metav1.CreateOptions{DryRun: dry})
				require.Equal(t, tc.want, refused(err))
				t.Log(time.Since(began))
				return
			}
			unseen := s.unseen(t).Resource(apirules).Namespace(namespace)
			stored, err := unseen.Create(t.Context(), apirule(t, namespace, "cost", `extauth-guard.io/inject: "true"`, tc.before), metav1.CreateOptions{})
			require.NoError(t, err)
			defer func() { assert.NoError(t, unseen.Delete(t.Context(), "cost", metav1.DeleteOptions{})) }()
			stored.Object["spec"] = object.Object["spec"]
			require.NoError(t, unstructured.SetNestedField(stored.Object, int64(9), "spec", "timeout"))
			began = time.Now()
			_, err = client.Update(t.Context(), stored, metav1.UpdateOptions{DryRun: dry})
			require.Equal(t, tc.want, refused(err))
			t.Log(time.Since(began))
		})
	}
}
