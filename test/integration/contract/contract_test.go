// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package contract_test has the webhooks, the audit and lint judge the same
// manifests, and compares codes and field paths. Where one says what another does
// not, the table of differences says why, or the test fails.
package contract_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	m.Run()
}

func TestEverybodySaysTheSame(t *testing.T) {
	s := newStage(t)
	table := differences()
	used := make([]bool, len(table))
	met := map[string]map[engine]bool{}
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Cleanup(func() { s.reset(t, f) })
			s.prepare(t, f)
			said := s.ask(t, f)
			for at := range everything(said) {
				for who, verdict := range said {
					if _, found := verdict[at]; found {
						if met[at.code] == nil {
							met[at.code] = map[engine]bool{}
						}
						met[at.code][who] = true
						continue
					}
					row := slices.IndexFunc(table, func(d difference) bool { return d.excuses(who, at.code, f) })
					if assert.GreaterOrEqual(t, row, 0, "%s does not say %s at %s, and no difference excuses that; they said %v", who, at.code, at.field, said) {
						used[row] = true
					}
				}
				assert.Len(t, severities(said, at), 1, "%s at %s: %v", at.code, at.field, said)
			}
		})
	}
	t.Run("what was wrong before", s.testInherited)
	t.Logf("verdicts of what could be stored: %v", s.verdicts)
	for _, verdict := range policy.Verdicts() {
		assert.NotZero(t, s.verdicts[verdict], "no fixture is %s", verdict)
	}
	for i, row := range table {
		assert.True(t, used[i], "nothing needs the difference %q any more", row.why)
	}
	for _, code := range policy.References() {
		for _, who := range []engine{webhooks, lintLive, lintOffline, audited} {
			_, never := neverSaid()[who][code.Code]
			assert.NotEqual(t, never, met[string(code.Code)][who],
				"%s says %s in a fixture, or neverSaid tells why it cannot: exactly one of both", who, code.Code)
		}
	}
}

// ask has every engine judge the last manifest of a fixture. An engine that cannot
// be asked is not among the answers.
func (s *stage) ask(t *testing.T, f fixture) map[engine]verdict {
	t.Helper()
	var answer admitted
	until(t, fmt.Sprintf("the webhooks answer code %q, warnings %q", f.code, f.expect), func(ctx context.Context) (string, bool) {
		answer = s.admit(ctx, s.Plane.Config(), f.last)
		return fmt.Sprint(answer.verdict, answer.err), f.expected(answer)
	})
	said := map[engine]verdict{webhooks: answer.verdict, lintLive: s.lintLive(t, f), lintOffline: s.lintOffline(t, f)}
	if f.last.GetKind() != "APIRule" || f.last.GroupVersionKind().Version == "v1beta1" {
		return said
	}
	if answer.err == nil {
		s.compareInject(t, f, answer.stored)
	}
	if s.store(t, f) {
		said[audited] = s.audit(t, f)
		s.verdicts[s.compareVerdicts(t, f)]++
	} else {
		// The CRD refuses a rule without access strategy; nobody injects one whose
		// annotation cannot be read.
		assert.NotEmpty(t, f.code, "what is admitted can be stored")
	}
	return said
}

// compareInject compares what the webhooks would store with what inject prints,
// applied where no webhook hears of it.
func (s *stage) compareInject(t *testing.T, f fixture, stored *unstructured.Unstructured) {
	t.Helper()
	code, printed, stderr := run(t, f.lastText, "inject", "-", "--live", "--kubeconfig", s.kubeconfig)
	require.Equal(t, 0, code, stderr)
	config := s.Plane.AsServiceAccount("kyma-system", "api-gateway-controller-manager")
	config.Impersonate.Groups = append(config.Impersonate.Groups, "system:masters")
	unseen := s.admit(t.Context(), config, kyma.Object(t, printed))
	require.NoError(t, unseen.err)
	assert.Empty(t, cmp.Diff(content(stored), content(unseen.stored)), "(-stored by the webhooks +printed by inject)")
}

// content is what an author writes: everything but what the API server adds.
func content(object *unstructured.Unstructured) map[string]any {
	return map[string]any{"annotations": object.GetAnnotations(), "labels": object.GetLabels(), "spec": object.Object["spec"]}
}

// everything is what anybody said.
func everything(said map[engine]verdict) map[place]bool {
	all := map[place]bool{}
	for _, verdict := range said {
		for at := range verdict {
			all[at] = true
		}
	}
	return all
}

// severities are the different ones that were given to one finding. A PolicyReport
// knows "fail" and "warn" only; what is only reported fails there.
func severities(said map[engine]verdict, at place) []string {
	all := map[string]bool{}
	for who, verdict := range said {
		if severity, found := verdict[at]; found && who != audited {
			all[severity] = true
		}
	}
	if severity, found := said[audited][at]; found {
		switch {
		case severity == "warn":
			all["warn"] = true
		case !all["deny"] && !all["report"]:
			all[severity] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// testInherited is about the one difference in gravity: at admission a fault that
// an APIRule had before the change is a warning, everywhere else it is what it is.
func (s *stage) testInherited(t *testing.T) {
	fixtures := fixtures(t)
	index := slices.IndexFunc(fixtures, func(f fixture) bool { return f.name == "invalid-examples/authorizer-not-registered" })
	require.GreaterOrEqual(t, index, 0)
	f := fixtures[index]
	t.Cleanup(func() { s.reset(t, f) })
	require.True(t, s.store(t, f))

	changed := f.last.DeepCopy()
	require.NoError(t, unstructured.SetNestedField(changed.Object, int64(10), "spec", "timeout"))
	raw, err := changed.MarshalJSON()
	require.NoError(t, err)
	f.lastText = string(raw)
	at := place{string(policy.AuthorizerNotRegistered), "spec.rules[0].extAuth.authorizers[0]"}
	answer := s.admit(t.Context(), s.Plane.Config(), changed)
	require.NoError(t, answer.err)
	assert.Equal(t, "warn", answer.verdict[at])
	assert.Equal(t, "deny", s.lintLive(t, f)[at])
	assert.Equal(t, "fail", s.audit(t, f)[at])
}
