// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reinject_test has existing APIRules injected by the webhook binary as
// it ships, on a real API server.
package reinject_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

type fixture struct {
	*kyma.Cluster
	t *testing.T
}

// open creates a Service and an APIRule with one rule that is open to everybody.
func (f fixture) open(namespace, name string) {
	f.t.Helper()
	f.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %[2]s, namespace: %[1]s}, spec: {selector: {app: %[2]s}, ports: [{port: 80}]}}`, namespace, name))
	f.Apply(fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[2]s, namespace: %[1]s}, spec: {hosts: [%[2]s], gateway: kyma-system/kyma-gateway, service: {name: %[2]s, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`, namespace, name))
}

// annotations are those that ask to replace noAuth.
func asks(authorizers string) map[string]any {
	annotations := map[string]any{"extauth-guard.io/inject": "true", "extauth-guard.io/replace": "noAuth"}
	if authorizers != "" {
		annotations["extauth-guard.io/authorizers"] = authorizers
	}
	return map[string]any{"metadata": map[string]any{"annotations": annotations}}
}

func (f fixture) annotateService(namespace, name string, patch any) {
	f.t.Helper()
	raw, err := json.Marshal(patch)
	require.NoError(f.t, err)
	_, err = f.Typed.CoreV1().Services(namespace).Patch(f.t.Context(), name, types.MergePatchType, raw, metav1.PatchOptions{})
	require.NoError(f.t, err)
}

func (f fixture) annotateNamespace(name string, patch any) {
	f.t.Helper()
	raw, err := json.Marshal(patch)
	require.NoError(f.t, err)
	_, err = f.Typed.CoreV1().Namespaces().Patch(f.t.Context(), name, types.MergePatchType, raw, metav1.PatchOptions{})
	require.NoError(f.t, err)
}

// rule returns the JSON of the only rule.
func (f fixture) rule(ctx context.Context, namespace, name string) string {
	object, err := f.APIRules(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	raw, err := json.Marshal(object.Object["spec"].(map[string]any)["rules"])
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

const protected = `[{"extAuth":{"authorizers":["%s"]},"methods":["GET"],"path":"/*"}]`

func (f fixture) becomes(namespace, name, want string) {
	f.t.Helper()
	f.Eventually(namespace+"/"+name+" becomes "+want, func(ctx context.Context) (string, bool) {
		got := f.rule(ctx, namespace, name)
		return got, got == want
	})
}

func (f fixture) event(namespace, name, want string) {
	f.t.Helper()
	f.Eventually("an event says "+want, func(ctx context.Context) (string, bool) {
		notes := f.Events(ctx, namespace, "APIRule", name)
		return strings.Join(notes, "; "), slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, want) })
	})
}

func onlyReinject(settings *config.WebhookConfig) {
	settings.Controllers.Audit.Enabled = false
	settings.Controllers.Expose.Enabled = false
}

func TestReinject(t *testing.T) {
	f := fixture{kyma.Start(t), t}
	for _, name := range []string{"service", "namespace", "policy", "storm", "refused", "crowd", "quiet"} {
		f.Namespace(name, map[string]string{"name": name})
	}
	replicas := []*guard.Process{f.Replica(onlyReinject), f.Replica(onlyReinject)}
	f.Leader(replicas...)

	// Before the webhooks are registered: at admission they would heal the object,
	// and the writer could not revert anything.
	t.Run("an APIRule that is reverted twice is given up with one event", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.open("storm", "app")
		f.annotateService("storm", "app", asks(""))
		const open = `[{"op":"remove","path":"/spec/rules/0/extAuth"},{"op":"add","path":"/spec/rules/0/noAuth","value":true}]`
		for range 2 { // a GitOps tool restores what is in its repository
			f.becomes("storm", "app", fmt.Sprintf(protected, "oauth2-proxy"))
			_, err := f.APIRules("storm").Patch(t.Context(), "app", types.JSONPatchType, []byte(open), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		f.event("storm", "app", "InjectionGivenUp: somebody reverted 2 times what Service storm/app asks for, so the rules stay as they are; write the authorizers where the APIRule comes from")
		// Something that makes the controller look again, and something that shows it has.
		f.annotateService("storm", "app", map[string]any{"metadata": map[string]any{"labels": map[string]any{"touched": "yes"}}})
		f.open("storm", "witness")
		f.annotateService("storm", "witness", asks(""))
		f.becomes("storm", "witness", fmt.Sprintf(protected, "oauth2-proxy"))
		assert.JSONEq(t, `[{"methods":["GET"],"noAuth":true,"path":"/*"}]`, f.rule(t.Context(), "storm", "app"))
		counts := map[string]int{}
		for _, note := range f.Events(t.Context(), "storm", "APIRule", "app") {
			reason, _, _ := strings.Cut(note, ":")
			counts[reason]++
		}
		assert.Equal(t, 1, counts["InjectionGivenUp"])

		// Another wish is another attempt.
		f.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
			{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
			{name: corp, service: corp.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
		f.annotateService("storm", "app", asks("corp"))
		f.becomes("storm", "app", fmt.Sprintf(protected, "corp"))
	})

	f.open("refused", "app")
	f.open("namespace", "app")
	f.open("policy", "app")
	f.open("policy", "exempt")
	f.open("quiet", "app")
	f.Admission()

	t.Run("an annotation on the Service reaches the APIRule", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.open("service", "app")
		f.annotateService("service", "app", asks(""))
		f.becomes("service", "app", fmt.Sprintf(protected, "oauth2-proxy"))
		f.event("service", "app", "Injected: spec.rules[0] got oauth2-proxy, as Service service/app asks for")
		object, err := f.APIRules("service").Get(t.Context(), "app", metav1.GetOptions{})
		require.NoError(t, err)
		assert.JSONEq(t, `[{"rule":0,"authorizers":["oauth2-proxy"],"from":"Service service/app"}]`, object.GetAnnotations()["extauth-guard.io/injected"])
	})

	t.Run("an annotation on the Namespace reaches the APIRule", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.annotateNamespace("namespace", asks(""))
		f.becomes("namespace", "app", fmt.Sprintf(protected, "oauth2-proxy"))
	})

	t.Run("a policy reaches the APIRules that it does not exempt", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: late}, spec: {mode: Audit, match: {namespaceSelector: {matchLabels: {name: policy}}}, require: {}, inject: {replace: [noAuth]},
			exemptions: [{namespace: policy, name: exempt, reason: r, owner: o, expires: "2999-01-01"}]}}`)
		f.becomes("policy", "app", fmt.Sprintf(protected, "oauth2-proxy"))
		f.event("policy", "app", "Injected: spec.rules[0] got oauth2-proxy, as ExtAuthPolicy late asks for")
		assert.Contains(t, f.rule(t.Context(), "policy", "exempt"), `"noAuth":true`)
	})

	t.Run("what admission refuses is said once, and done when it is right", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.annotateService("refused", "app", asks("soon"))
		f.event("refused", "app", "InjectionRefused: Service refused/app asks for authorizers, but the API server refuses the APIRule with them: ")
		notes := f.Events(t.Context(), "refused", "APIRule", "app")
		require.Len(t, notes, 1)
		assert.Contains(t, notes[0], `spec.rules[0].extAuth.authorizers[0]: Invalid value: "soon": not registered in the Istio CR kyma-system/default`)
		f.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
			{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
			{name: corp, service: corp.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
			{name: soon, service: soon.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
		f.becomes("refused", "app", fmt.Sprintf(protected, "soon"))
	})

	t.Run("the other replica finishes what a killed leader began", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		const many = 60
		for i := range many {
			f.open("crowd", fmt.Sprintf("app-%d", i))
		}
		done := func(ctx context.Context) int {
			list, err := f.APIRules("crowd").List(ctx, metav1.ListOptions{})
			if err != nil {
				return -1
			}
			count := 0
			for _, one := range list.Items {
				if one.GetAnnotations()["extauth-guard.io/injected"] != "" {
					count++
				}
			}
			return count
		}
		leader := f.Leader(replicas...)
		f.annotateNamespace("crowd", asks(""))
		f.Eventually("some are injected", func(ctx context.Context) (string, bool) { return "", done(ctx) > 5 })
		leader.Kill()
		left := many - done(t.Context())
		t.Logf("%d of %d were left when the leader was killed", left, many)
		assert.Positive(t, left, "the leader was killed too late to prove anything")
		f.Eventually("all are injected", func(ctx context.Context) (string, bool) {
			count := done(ctx)
			return strconv.Itoa(count), count == many
		})
		assert.NotSame(t, leader, f.Leader(replicas...))
	})

	assert.Contains(t, f.rule(t.Context(), "quiet", "app"), `"noAuth":true`, "nobody asked for this one")
	assert.Empty(t, f.Events(t.Context(), "quiet", "APIRule", "app"))
}
