// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bypass_test tries to expose a workload without a token although a
// policy forbids it: one test per idea, named after it. Each idea is refused at
// admission, or stored and reported by the audit, and the test says by which
// code. What gets through without either is marked as a known gap, and
// docs/security.md says so.
package bypass_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// scene is a cluster with one replica that admits and audits, and a namespace of
// its own for each idea.
type scene struct {
	*kyma.Cluster
	t         *testing.T
	replica   *guard.Process
	namespace string
}

func start(t *testing.T) scene {
	t.Helper()
	s := scene{Cluster: kyma.Start(t), t: t}
	s.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
		{name: corp, service: corp.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
	s.replica = s.Replica(func(settings *config.WebhookConfig) {
		settings.Controllers.Reinject.Enabled = false // it would repair what the audit is to report
		settings.Controllers.Expose.Enabled = false
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		settings.Metrics.Address = listener.Addr().String()
		require.NoError(t, listener.Close())
	})
	registration, err := guard.Registration(s.replica.Settings)
	require.NoError(t, err)
	require.NoError(t, guard.Register(t.Context(), s.Plane.Config(), registration))
	return s
}

// idea gives a test the scene with a namespace of the given name and a Service
// web in it.
func (s scene) idea(t *testing.T, namespace string) scene {
	t.Helper()
	s.t, s.namespace = t, namespace
	s.Namespace(namespace, map[string]string{"guarded": namespace})
	s.service("web", "web")
	return s
}

func (s scene) service(name, app string) {
	s.t.Helper()
	s.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {selector: {app: %s}, ports: [{port: 80}]}}`, name, s.namespace, app))
}

// enforce has a policy in the mode Enforce, named like the namespace, for all
// APIRules of the namespace, and waits until admission knows it.
func (s scene) enforce(exemptions ...string) {
	s.t.Helper()
	s.Apply(fmt.Sprintf(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: %[1]s}, spec: {mode: Enforce, optOut: Forbidden,
		match: {namespaceSelector: {matchLabels: {guarded: %[1]s}}}, require: {authorizers: [oauth2-proxy, corp]}, exemptions: [%[2]s]}}`,
		s.namespace, strings.Join(exemptions, ", ")))
	s.Eventually("admission knows the policy", func(ctx context.Context) (string, bool) {
		probe := kyma.Object(s.t, s.apirule("probe", open))
		_, err := s.APIRules(s.namespace).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return fmt.Sprint(err), apierrors.IsInvalid(err)
	})
}

func exemption(namespace, name, paths, expires string) string {
	return fmt.Sprintf(`{namespace: %s, name: %s, paths: [%s], reason: a test, owner: tests, expires: %q}`, namespace, name, paths, expires)
}

const (
	open   = `{path: /*, methods: [GET], noAuth: true}`
	authed = `{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`
	asking = `{path: /*, methods: [GET]}`

	openRules = `[{"path":"/*","methods":["GET"],"noAuth":true}]`
)

// apirule is an APIRule as YAML, host and name alike, in front of the Service
// web.
func (s scene) apirule(name, rules string) string {
	return s.annotated(name, "", rules)
}

func (s scene) annotated(name, annotations, rules string) string {
	return fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[2]s, namespace: %[1]s, annotations: {%[3]s}},
		spec: {hosts: [%[2]s], gateway: kyma-system/kyma-gateway, service: {name: web, port: 80}, rules: [%[4]s]}}`, s.namespace, name, annotations, rules)
}

func (s scene) create(text string) error {
	s.t.Helper()
	object := kyma.Object(s.t, text)
	_, err := s.At(object).Create(s.t.Context(), object, metav1.CreateOptions{})
	return err
}

func (s scene) merge(name, patch string) error {
	_, err := s.APIRules(s.namespace).Patch(s.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (s scene) stored(name string) *unstructured.Unstructured {
	s.t.Helper()
	object, err := s.APIRules(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	require.NoError(s.t, err)
	return object
}

// firstRule returns a rule of a stored APIRule.
func (s scene) firstRule(name string) map[string]any {
	s.t.Helper()
	rules, _, err := unstructured.NestedSlice(s.stored(name).Object, "spec", "rules")
	require.NoError(s.t, err)
	require.NotEmpty(s.t, rules)
	rule, _ := rules[0].(map[string]any)
	return rule
}

// refused asserts that a write was refused by us with a code.
func (s scene) refused(err error, code string) {
	s.t.Helper()
	require.Error(s.t, err)
	assert.True(s.t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(s.t, err, "["+code+"]")
}

// status waits until the status of the policy of the idea satisfies check.
func (s scene) status(what string, check func(status map[string]any) bool) {
	s.t.Helper()
	policies := s.At(kyma.Object(s.t, `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: any}}`))
	s.Eventually(what, func(ctx context.Context) (string, bool) {
		object, err := policies.Get(ctx, s.namespace, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		status, _, _ := unstructured.NestedMap(object.Object, "status")
		return fmt.Sprint(status), status["observedGeneration"] == object.GetGeneration() && check(status)
	})
}

// counts waits until the policy of the idea counts so many matched, exempt and
// violating APIRules.
func (s scene) counts(matched, exempt, violating int64) {
	s.t.Helper()
	s.status(fmt.Sprintf("the policy %s counts %d matched, %d exempt, %d violating", s.namespace, matched, exempt, violating), func(status map[string]any) bool {
		return status["matched"] == matched && status["exempt"] == exempt && status["violating"] == violating
	})
}

// violates waits until the status of the policy lists an APIRule with a code.
func (s scene) violates(name, code string) {
	s.t.Helper()
	s.status(fmt.Sprintf("the policy %s lists %s with %s", s.namespace, name, code), func(status map[string]any) bool {
		violations, _ := status["violations"].([]any)
		for _, entry := range violations {
			if one, _ := entry.(map[string]any); one["name"] == name && one["code"] == code {
				return true
			}
		}
		return false
	})
}

// measured waits until the metrics count so many findings with a code in the
// namespace of the idea.
func (s scene) measured(code string, count int) {
	s.t.Helper()
	s.metric(fmt.Sprintf(`extauth_guard_audit_findings{code=%q,namespace=%q} %d`, code, s.namespace, count))
}

func (s scene) metric(line string) {
	s.t.Helper()
	s.Eventually("the metrics say "+line, func(ctx context.Context) (string, bool) {
		text, err := s.metrics(ctx)
		return fmt.Sprint(err), strings.Contains(text, line+"\n")
	})
}

func (s scene) metrics(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.replica.Settings.Metrics.Address+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end
	raw, err := io.ReadAll(response.Body)
	return string(raw), err
}

// event waits for an event about an APIRule with a code as its reason.
func (s scene) event(name, code string) {
	s.t.Helper()
	s.Eventually(fmt.Sprintf("an event says %s about %s", code, name), func(ctx context.Context) (string, bool) {
		notes := s.Events(ctx, s.namespace, "APIRule", name)
		return strings.Join(notes, "; "), strings.Contains("; "+strings.Join(notes, "; "), "; "+code+": ")
	})
}
