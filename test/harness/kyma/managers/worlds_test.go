// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// world is a cluster with what Kyma's real managers and istiod said about it.
type world struct {
	Name     string                      `json:"world"`
	Objects  []unstructured.Unstructured `json:"objects"`
	Verdicts []struct {
		Rule     string   `json:"rule"`
		Attached bool     `json:"attached"`
		NotFound bool     `json:"kyma_not_found"`
		Failures []string `json:"kyma_failures"`
	} `json:"verdicts"`
}

func worlds(t *testing.T) []world {
	t.Helper()
	var all []world
	for _, name := range []string{"minimal.jsonl", "generated.jsonl"} {
		file, err := os.Open(checkout.Shared(t, "worlds/"+name))
		require.NoError(t, err)
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var one world
			require.NoError(t, json.Unmarshal(lines.Bytes(), &one))
			all = append(all, one)
		}
		require.NoError(t, lines.Err())
		require.NoError(t, file.Close())
	}
	return all
}

// TestTheStandInAgreesWithTheRealManagers: what is refused, for which reasons, and
// whose policies reach a Pod.
func TestTheStandInAgreesWithTheRealManagers(t *testing.T) {
	refused, rules := 0, 0
	for _, one := range worlds(t) {
		cluster := managers.ClusterOf(one.Objects)
		for _, want := range one.Verdicts {
			rules++
			object := apirule(t, one, want.Rule)
			outcome, err := cluster.Reconcile(object)
			require.NoError(t, err)
			var failures []string
			for _, failure := range outcome.Failures {
				failures = append(failures, failure.String())
			}
			assert.ElementsMatch(t, want.Failures, failures, "%s %s", one.Name, want.Rule)
			assert.Equal(t, want.NotFound, strings.Contains(strings.Join(failures, "\n"), "mesh data"), "%s %s", one.Name, want.Rule)
			policies, err := cluster.Policies(object)
			require.NoError(t, err)
			assert.Equal(t, want.Attached, attached(cluster, policies), "%s %s", one.Name, want.Rule)
			if len(failures) > 0 {
				refused++
			}
		}
	}
	assert.Positive(t, refused)
	t.Logf("%d APIRules, %d of them refused", rules, refused)
}

// TestTheStandInMakesTheMeshConfiguration: the providers of the worlds' ConfigMaps are
// those of their Istio CRs.
func TestTheStandInMakesTheMeshConfiguration(t *testing.T) {
	type mesh struct {
		Providers []map[string]any `json:"extensionProviders"`
	}
	compared := 0
	for _, one := range worlds(t) {
		for _, object := range one.Objects {
			if object.GetKind() != "Istio" {
				continue
			}
			made, err := managers.Mesh(object)
			require.NoError(t, err, one.Name)
			text, err := managers.MeshText(made)
			require.NoError(t, err)
			var want, got mesh
			require.NoError(t, yaml.Unmarshal([]byte(managers.ClusterOf(one.Objects).Mesh), &want))
			require.NoError(t, yaml.Unmarshal([]byte(text), &got))
			if len(authorizersOf(want.Providers)) < len(authorizersOf(got.Providers)) {
				continue // the world shows the moment before the module has applied its Istio CR
			}
			assert.Equal(t, authorizersOf(want.Providers), authorizersOf(got.Providers), one.Name)
			compared++
		}
	}
	t.Logf("%d mesh configurations", compared)
	assert.Positive(t, compared)
}

func authorizersOf(providers []map[string]any) []map[string]any {
	var of []map[string]any
	for _, one := range providers {
		http, speaks := one["envoyExtAuthzHttp"].(map[string]any)
		if !speaks {
			continue
		}
		for _, key := range []string{"port", "service"} { // the worlds spell out what an encoder leaves out
			if http[key] == float64(0) || http[key] == "" {
				delete(http, key)
			}
		}
		of = append(of, one)
	}
	return of
}

func apirule(t *testing.T, in world, name string) unstructured.Unstructured {
	t.Helper()
	for _, object := range in.Objects {
		if object.GetKind() == "APIRule" && object.GetNamespace()+"/"+object.GetName() == name {
			return object
		}
	}
	require.Fail(t, "no such APIRule", "%s %s", in.Name, name)
	return unstructured.Unstructured{}
}

func attached(cluster managers.Cluster, policies []unstructured.Unstructured) bool {
	for _, policy := range policies {
		selector, _, _ := unstructured.NestedStringMap(policy.Object, "spec", "selector", "matchLabels")
		if action, _, _ := unstructured.NestedString(policy.Object, "spec", "action"); action != "CUSTOM" {
			continue
		}
		for _, pod := range cluster.Pods {
			if pod.GetNamespace() == policy.GetNamespace() && labels.SelectorFromSet(selector).Matches(labels.Set(pod.GetLabels())) {
				return true
			}
		}
	}
	return false
}
