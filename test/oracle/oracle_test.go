// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oracle compares what this project says of generated clusters with what
// istiod's own code makes of them. It is run by make oracle, which builds the program
// in the folder istiod.
package oracle

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// programEnv names the program that speaks for istiod.
const programEnv = "EXTAUTH_ORACLE"

var (
	worlds = flag.Int("worlds", 500, "how many generated `worlds` to compare")
	seed   = flag.Uint64("seed", 1, "the `seed` of the first world; the others follow")
)

// istiod is the program, which answers line by line.
type istiod struct {
	in  io.Writer
	out *bufio.Reader
}

func start(t *testing.T) istiod {
	t.Helper()
	path := os.Getenv(programEnv)
	if path == "" {
		t.Skip("needs the program in test/oracle/istiod: run make oracle, which builds it and sets " + programEnv)
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), path) // it ends with its input
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		assert.NoError(t, in.Close())
		assert.NoError(t, command.Wait())
	})
	return istiod{in, bufio.NewReaderSize(out, 1<<20)}
}

// verdict is what the program says of a world.
type verdict struct {
	Error   string            `json:"error"`
	Refused map[string]string `json:"refused"`
	Pods    []struct {
		Pod    string `json:"pod"`
		Custom []struct {
			Policy   string `json:"policy"`
			Provider string `json:"provider"`
		} `json:"custom"`
		Denied []string `json:"denied"`
	} `json:"pods"`
}

func (i istiod) ask(t *testing.T, of world) verdict {
	t.Helper()
	_, err := fmt.Fprintln(i.in, of.print(t))
	require.NoError(t, err)
	line, err := i.out.ReadBytes('\n')
	require.NoError(t, err)
	var said verdict
	require.NoError(t, json.Unmarshal(line, &said))
	require.Empty(t, said.Error, of.Name)
	return said
}

// answer is what is known of one APIRule: several CUSTOM providers on a workload, or a
// provider that istiod does not take. Both mean 403 for every request.
type answer struct{ several, bad bool }

// istiodOf returns istiod's answers, and the APIRules whose policies reach a Pod. The
// policies are those that Kyma makes: refused tells whether also of APIRules that it
// refuses, as if they were left from before.
func istiodOf(t *testing.T, oracle istiod, in world, refused bool) (map[string]answer, map[string]bool) {
	t.Helper()
	cluster := managers.ClusterOf(in.Objects)
	whole := world{Name: in.Name, Objects: slices.Clone(in.Objects)}
	owner := map[string]string{}
	for _, rule := range in.of("APIRule") {
		outcome, err := cluster.Reconcile(rule)
		require.NoError(t, err)
		if len(outcome.Failures) > 0 && !refused {
			continue
		}
		policies, err := cluster.Policies(rule)
		require.NoError(t, err)
		for _, policy := range policies {
			owner[policy.GetNamespace()+"/"+policy.GetName()] = rule.GetNamespace() + "/" + rule.GetName()
			whole.Objects = append(whole.Objects, policy)
		}
	}
	said := oracle.ask(t, whole)
	require.Empty(t, said.Refused, in.Name)
	answers, attached := map[string]answer{}, map[string]bool{}
	for _, pod := range said.Pods {
		providers := map[string]bool{}
		for _, one := range pod.Custom {
			providers[one.Provider] = true
		}
		for _, one := range pod.Custom {
			rule, ours := owner[one.Policy]
			if !ours {
				continue
			}
			of := answers[rule]
			of.several = of.several || len(providers) > 1
			of.bad = of.bad || len(providers) == 1 && slices.Contains(pod.Denied, one.Policy)
			answers[rule], attached[rule] = of, true
		}
	}
	return answers, attached
}

// ourWorld holds what the watches would hold of a world.
func ourWorld(t *testing.T, in world) *facts.World {
	t.Helper()
	made := facts.NewWorld("not read")
	for _, object := range in.Objects {
		name := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
		switch object.GetKind() {
		case "Namespace":
			made.SetNamespace(name.Name, policy.Namespace{Labels: object.GetLabels()})
		case "Service":
			selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector")
			made.SetService(name, policy.Service{Selector: policy.SelectorOf(selector), Ports: []int32{80}})
			made.SetEndpoints(name, "one", true)
		case "Istio":
			made.SetIstio(istio.Parse(object.Object))
		case "ConfigMap":
			text, _, _ := unstructured.NestedString(object.Object, "data", "mesh")
			mesh, err := istio.ParseMesh(text)
			require.NoError(t, err)
			made.SetMesh(&mesh)
		case "AuthorizationPolicy":
			made.SetAuthorizationPolicy(name, facts.AuthorizationPolicyOf(istio.ParseAuthorizationPolicy(object.Object)))
		case "APIRule":
			made.SetAPIRule(apirule.Parse(object.Object, ""))
		}
	}
	return made
}

// oursOf returns what this project says of an APIRule.
func oursOf(t *testing.T, known *facts.World, rule unstructured.Unstructured) answer {
	t.Helper()
	view := apirule.Parse(rule.Object, "")
	var of answer
	for _, finding := range policy.Check(view, known.Facts(t.Context(), view), policy.DefaultSettings()) {
		gets403 := finding.Code == policy.AuthorizerInvalid || finding.Code == policy.AuthorizerNotRegistered
		gone := finding.Code == policy.AuthorizerUnready && strings.HasSuffix(finding.Brief, "does not exist")
		of.several = of.several || finding.Code == policy.AuthorizerConflict
		of.bad = of.bad || gone || gets403 && finding.Severity == policy.Deny
	}
	return of
}

// differences returns what the two say differently of a world and no known limit
// explains, and how many differences one does, by limit.
func differences(t *testing.T, oracle istiod, in world, refused bool) (found []string, explained map[string]int, compared int) {
	t.Helper()
	explained = map[string]int{}
	theirs, attached := istiodOf(t, oracle, in, refused)
	known := ourWorld(t, in)
	for _, rule := range in.of("APIRule") {
		name := rule.GetNamespace() + "/" + rule.GetName()
		if !attached[name] {
			continue // Kyma refuses it, or it has no authorizer, or no Pod
		}
		compared++
		ours := oursOf(t, known, rule)
		// Where several providers are denied, istiod does not look at each.
		if ours.several == theirs[name].several && (ours.bad == theirs[name].bad || ours.several) {
			continue
		}
		if limit := limitOf(in, rule, ours, theirs[name], attached); limit != "" {
			explained[limit]++
			continue
		}
		found = append(found, fmt.Sprintf("%s %s: ours %+v, istiod's %+v", in.Name, name, ours, theirs[name]))
	}
	return found, explained, compared
}

func TestGeneratedWorlds(t *testing.T) {
	oracle := start(t)
	t.Logf("seeds %d to %d", *seed, *seed+uint64(*worlds)-1)
	compared, limits, agreeing := 0, map[string]int{}, 0
	for i := range uint64(*worlds) {
		in := newWorld(t, *seed+i)
		found, explained, rules := differences(t, oracle, in, false)
		compared += rules
		for limit, times := range explained {
			limits[limit] += times
		}
		if len(found) == 0 {
			agreeing++
			continue
		}
		small := shrink(in, func(smaller world) bool {
			found, _, _ := differences(t, oracle, smaller, false)
			return len(found) > 0
		})
		found, _, _ = differences(t, oracle, small, false)
		t.Errorf("%s\n%s", strings.Join(found, "\n"), small.print(t))
		if i-uint64(agreeing) >= 5 {
			t.Fatal("that is enough")
		}
	}
	t.Logf("%d worlds, %d APIRules compared; explained by known limits: %v", *worlds, compared, limits)
	assert.Positive(t, compared)
}

// shrink leaves out of a world, one by one, what the difference does not need.
func shrink(of world, differs func(world) bool) world {
	for i := 0; i < len(of.Objects); {
		if kind := of.Objects[i].GetKind(); kind == "Istio" || kind == "ConfigMap" || kind == "Gateway" || !differs(of.without(i)) {
			i++
			continue
		}
		of = of.without(i)
	}
	return of
}

// TestWorldsOfTheRealManagers holds the program, and then this project, against worlds
// that the real istiod and Kyma's real managers have judged.
func TestWorldsOfTheRealManagers(t *testing.T) {
	oracle := start(t)
	limits, compared := map[string]int{}, 0
	for _, name := range []string{"minimal.jsonl", "generated.jsonl"} {
		raw, err := os.ReadFile(checkout.Shared(t, "worlds/"+name))
		require.NoError(t, err)
		for line := range strings.Lines(string(raw)) {
			var judged struct {
				world
				Verdicts []struct {
					Rule    string `json:"rule"`
					Several bool   `json:"istiod_multi"`
					Bad     bool   `json:"istiod_bad"`
				} `json:"verdicts"`
			}
			require.NoError(t, json.Unmarshal([]byte(line), &judged))
			theirs, _ := istiodOf(t, oracle, judged.world, true)
			for _, want := range judged.Verdicts {
				assert.Equal(t, want.Several, theirs[want.Rule].several, "%s %s: several providers", judged.Name, want.Rule)
				if !want.Several {
					assert.Equal(t, want.Bad, theirs[want.Rule].bad, "%s %s: a bad provider", judged.Name, want.Rule)
				}
			}
			found, explained, rules := differences(t, oracle, judged.world, true)
			assert.Empty(t, found)
			compared += rules
			for limit, times := range explained {
				limits[limit] += times
			}
		}
	}
	t.Logf("%d APIRules compared; explained by known limits: %v", compared, limits)
}
