// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit_test has a cluster audited by the webhook binary as it ships, on
// a real API server.
package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
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

func (f fixture) policies() dynamic.ResourceInterface {
	return f.Untyped.Resource(schema.GroupVersionResource{Group: "extauth-guard.io", Version: "v1alpha1", Resource: "extauthpolicies"})
}

func apirule(namespace, name, rules string) string {
	return fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[2]s, namespace: %[1]s}, spec: {hosts: [%[2]s], gateway: kyma-system/kyma-gateway, service: {name: %[2]s, port: 80}, rules: [%[3]s]}}`, namespace, name, rules)
}

const (
	open   = `{path: /*, methods: [GET], noAuth: true}`
	authed = `{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`
	jwt    = `{path: /*, methods: [GET], jwt: {authentications: [{issuer: "https://idp.example.com", jwksUri: "https://idp.example.com/keys"}]}}`
	health = `{path: /healthz, methods: [GET], noAuth: true}`
)

// counts waits until a policy counts matched, compliant, exempt, violating and
// unguarded like that.
func (f fixture) counts(policy, want string) map[string]any {
	f.t.Helper()
	var status map[string]any
	f.Eventually("the policy "+policy+" counts "+want, func(ctx context.Context) (string, bool) {
		object, err := f.policies().Get(ctx, policy, metav1.GetOptions{})
		if err != nil {
			return err.Error(), false
		}
		status, _, _ = unstructured.NestedMap(object.Object, "status")
		got := fmt.Sprint(status["matched"], status["compliant"], status["exempt"], status["violating"], status["unguarded"])
		return got, got == want && status["observedGeneration"] == object.GetGeneration()
	})
	return status
}

func (f fixture) ready(status map[string]any) string {
	f.t.Helper()
	conditions, _ := status["conditions"].([]any)
	require.Len(f.t, conditions, 1)
	ready, _ := conditions[0].(map[string]any)
	return fmt.Sprintf("%s=%s %s", ready["type"], ready["status"], ready["reason"])
}

func (f fixture) kubectl(args ...string) string {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "kubeconfig")
	require.NoError(f.t, f.Plane.WriteKubeconfig(file))
	out, err := exec.CommandContext(f.t.Context(), f.Plane.Kubectl(), append([]string{"--kubeconfig", file}, args...)...).CombinedOutput()
	require.NoError(f.t, err, "%s", out)
	return string(out)
}

// onlyAudit switches the other controllers off and serves metrics.
func onlyAudit(t *testing.T) func(*config.WebhookConfig) {
	return func(settings *config.WebhookConfig) {
		settings.Controllers.Reinject.Enabled = false
		settings.Controllers.Expose.Enabled = false
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		settings.Metrics.Address = listener.Addr().String()
		require.NoError(t, listener.Close())
	}
}

func (f fixture) metrics(of *guard.Process) []string {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "http://"+of.Settings.Metrics.Address+"/metrics", http.NoBody)
	require.NoError(f.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(f.t, err)
	defer func() { require.NoError(f.t, response.Body.Close()) }()
	raw, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	var lines []string
	for line := range strings.Lines(string(raw)) {
		for _, name := range []string{"exposed_hosts", "audit_findings", "exemption"} {
			if strings.HasPrefix(line, "extauth_guard_"+name) && !strings.Contains(line, "days_left") {
				lines = append(lines, strings.TrimPrefix(strings.TrimSpace(line), "extauth_guard_"))
			}
		}
	}
	return lines
}

const auditPolicy = `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: public-hosts}, spec: {
	mode: Audit, match: {namespaceSelector: {matchLabels: {exposure: public}}, hosts: ["*.kyma.example.com"]}, require: {authorizers: [oauth2-proxy], allowJWT: true},
	exemptions: [{namespace: shop, name: exempt, paths: [/healthz], reason: probe of the CDN, owner: team-shop, expires: "2999-12-31"}]}}`

func TestAudit(t *testing.T) {
	f := fixture{kyma.Start(t), t}
	f.Namespace("shop", map[string]string{"exposure": "public"})
	f.Namespace("internal", nil)
	for name, rules := range map[string]string{"open": open, "authed": authed, "jwt": jwt, "exempt": authed + `, ` + health} {
		f.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: shop}, spec: {selector: {app: %[1]s}, ports: [{port: 80}]}}`, name))
		f.Apply(apirule("shop", name, rules))
	}
	f.Apply(apirule("internal", "inside", open))
	f.Apply(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: raw, namespace: shop}, spec: {hosts: [raw.kyma.example.com], gateways: [kyma-system/kyma-gateway]}}`)
	f.Apply(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: made, namespace: shop, labels: {apirule.gateway.kyma-project.io/name: open}}, spec: {hosts: [open.kyma.example.com], gateways: [kyma-system/kyma-gateway]}}`)
	f.Apply(auditPolicy)
	f.Admission()
	replicas := []*guard.Process{f.Replica(onlyAudit(t)), f.Replica(onlyAudit(t))}
	leader := f.Leader(replicas...)

	t.Run("the status counts and lists", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		status := f.counts("public-hosts", "4 2 1 1 1")
		assert.Equal(t, "Ready=True InEffect", f.ready(status))
		assert.Equal(t, []any{int64(0), int64(1)}, []any{status["notEnforced"], status["blocked"]}, "the authorizer of one is not ready")
		assert.Empty(t, cmp.Diff([]any{map[string]any{
			"namespace": "shop", "name": "open", "rule": int64(0), "code": "PolicyViolation",
			"message": `ExtAuthPolicy public-hosts requires the authorizer oauth2-proxy or a jwt, but the rule says "noAuth: true"; name one in extAuth.authorizers, or ask the owner of the policy for an exemption [PolicyViolation]`,
		}}, status["violations"]), "(-want +got)")
		assert.Empty(t, cmp.Diff([]any{map[string]any{"namespace": "shop", "name": "raw", "host": "raw.kyma.example.com", "gateway": "kyma-system/kyma-gateway"}}, status["unguardedHosts"]), "(-want +got)")
		assert.Regexp(t, `(?m)^public-hosts +Audit +True +InEffect +4 +1 +0 +1 +1 `, f.kubectl("get", "extauthpolicies"))
	})

	t.Run("the leader has metrics and the other replica has none", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		got := f.metrics(leader)
		for _, want := range []string{
			`exposed_hosts{kind="APIRule",namespace="shop",verdict="Protected"} 1`, `exposed_hosts{kind="APIRule",namespace="shop",verdict="Blocked"} 1`, `exposed_hosts{kind="APIRule",namespace="shop",verdict="Open"} 2`,
			`exposed_hosts{kind="APIRule",namespace="internal",verdict="Open"} 1`, `exposed_hosts{kind="VirtualService",namespace="shop",verdict="Unknown"} 1`,
			`audit_findings{code="PolicyViolation",namespace="shop"} 1`, `exemptions{policy="public-hosts",state="active"} 1`,
		} {
			assert.Contains(t, got, want)
		}
		for _, one := range replicas {
			if one != leader {
				assert.Empty(t, f.metrics(one))
			}
		}
	})

	t.Run("each namespace with APIRules has one PolicyReport", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		reports := f.Untyped.Resource(schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"})
		f.Eventually("the reports are there", func(ctx context.Context) (string, bool) {
			list, err := reports.List(ctx, metav1.ListOptions{})
			return fmt.Sprint(err), err == nil && len(list.Items) == 2
		})
		report, err := reports.Namespace("shop").Get(t.Context(), "extauth-guard", metav1.GetOptions{})
		require.NoError(t, err)
		summary, _, err := unstructured.NestedMap(report.Object, "summary")
		require.NoError(t, err)
		assert.Equal(t, int64(2), summary["pass"])
		assert.Equal(t, int64(1), summary["skip"])
		assert.Equal(t, int64(1), summary["fail"])
		raw, err := json.Marshal(report.Object["results"])
		require.NoError(t, err)
		assert.Contains(t, string(raw), `"policy":"public-hosts"`)
		require.NoError(t, f.APIRules("internal").Delete(t.Context(), "inside", metav1.DeleteOptions{}))
		f.Eventually("the report of a namespace without APIRules goes", func(ctx context.Context) (string, bool) {
			list, err := reports.List(ctx, metav1.ListOptions{})
			return fmt.Sprint(err), err == nil && len(list.Items) == 1
		})
	})

	t.Run("a change of a verdict is an event, and what was wrong before is none", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(apirule("shop", "jwt", open))
		f.counts("public-hosts", "4 1 1 2 1")
		f.Eventually("an event says what became wrong", func(ctx context.Context) (string, bool) {
			notes := f.Events(ctx, "shop", "APIRule", "jwt")
			return strings.Join(notes, "; "), len(notes) == 1 && strings.HasPrefix(notes[0], "PolicyViolation: spec.rules[0]: Invalid value: \"/*\": ExtAuthPolicy public-hosts requires")
		})
		f.Apply(apirule("shop", "jwt", jwt))
		f.counts("public-hosts", "4 2 1 1 1")
		f.Eventually("an event says that it is right again", func(ctx context.Context) (string, bool) {
			notes := f.Events(ctx, "shop", "APIRule", "jwt")
			return strings.Join(notes, "; "), len(notes) == 2 && slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, "Compliant: ") })
		})
		assert.Empty(t, f.Events(t.Context(), "shop", "APIRule", "open"))
	})

	t.Run("a label of a Namespace reaches its APIRules", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		label := func(value string) {
			_, err := f.Typed.CoreV1().Namespaces().Patch(t.Context(), "shop", types.MergePatchType, []byte(`{"metadata":{"labels":{"exposure":"`+value+`"}}}`), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		label("private")
		f.counts("public-hosts", "0 0 0 0 0")
		label("public")
		f.counts("public-hosts", "4 2 1 1 1")
	})

	t.Run("a policy that nobody can follow is not ready", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: impossible}, spec: {mode: Audit, match: {hosts: [nobody.example.com]}, require: {authorizers: [later]}}}`)
		assert.Equal(t, "Ready=False AuthorizerNotRegistered", f.ready(f.counts("impossible", "0 0 0 0 0")))
	})

	t.Run("the mode Enforce refuses what is new and leaves what was there", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.Apply(strings.Replace(auditPolicy, "mode: Audit", "mode: Enforce, optOut: Forbidden", 1))
		f.counts("public-hosts", "4 2 1 1 1")
		_, err := f.APIRules("shop").Create(t.Context(), kyma.Object(t, apirule("shop", "new", open)), metav1.CreateOptions{})
		require.ErrorContains(t, err, `spec.rules[0]: Invalid value: "/*": ExtAuthPolicy public-hosts requires the authorizer oauth2-proxy or a jwt, but the rule says "noAuth: true"`)
		_, err = f.APIRules("shop").Patch(t.Context(), "open", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}},"spec":{"timeout":10}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		_, err = f.APIRules("shop").Patch(t.Context(), "authed", types.MergePatchType, []byte(`{"metadata":{"annotations":{"extauth-guard.io/inject":"false"}}}`), metav1.PatchOptions{})
		require.ErrorContains(t, err, `APIRule says extauth-guard.io/inject: "false", and ExtAuthPolicy public-hosts forbids to opt out`)
	})

	t.Run("the other replica goes on when the leader is killed", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		leader.Kill()
		require.NoError(t, f.APIRules("shop").Delete(t.Context(), "open", metav1.DeleteOptions{}))
		f.counts("public-hosts", "3 2 1 0 1")
		next := f.Leader(replicas...)
		assert.NotSame(t, leader, next)
		assert.Contains(t, f.metrics(next), `exposed_hosts{kind="APIRule",namespace="shop",verdict="Protected"} 1`)
	})

	t.Run("the samples are counted as they are", func(t *testing.T) {
		f := fixture{f.Cluster, t}
		f.sample("policy-audit.yaml")
		files, err := filepath.Glob(filepath.Join(checkout.Path(t, "config/samples"), "*.yaml"))
		require.NoError(t, err)
		for _, file := range files {
			f.sample(filepath.Base(file))
		}
		authorizers := f.authorizers()
		rules, err := f.APIRules(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		violating, violations := 0, 0
		for _, one := range rules.Items {
			count := unprotected(t, one, authorizers)
			violations += count
			violating += min(count, 1)
		}
		require.Positive(t, violating, "no sample is open")
		byHand, err := f.Untyped.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).
			List(t.Context(), metav1.ListOptions{LabelSelector: "!apirule.gateway.kyma-project.io/name"})
		require.NoError(t, err)
		all := len(rules.Items)
		status := f.counts("everything", fmt.Sprint(all, all-violating, 0, violating, len(byHand.Items)))
		assert.Len(t, status["violations"], violations)
	})
}

// authorizers returns the names in the Istio CR.
func (f fixture) authorizers() []string {
	f.t.Helper()
	cr, err := f.At(kyma.Object(f.t, `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}}`)).Get(f.t.Context(), "default", metav1.GetOptions{})
	require.NoError(f.t, err)
	entries, _, err := unstructured.NestedSlice(cr.Object, "spec", "config", "authorizers")
	require.NoError(f.t, err)
	var names []string
	for _, entry := range entries {
		fields, _ := entry.(map[string]any)
		names = append(names, fmt.Sprint(fields["name"]))
	}
	return names
}

// sample applies a file of config/samples. Some cannot be together with others
// and are refused; what is stored counts.
func (f fixture) sample(name string) {
	f.t.Helper()
	file := filepath.Join(f.t.TempDir(), "kubeconfig")
	require.NoError(f.t, f.Plane.WriteKubeconfig(file))
	out, err := exec.CommandContext(f.t.Context(), f.Plane.Kubectl(), "--kubeconfig", file, "apply", "-f", filepath.Join(checkout.Path(f.t, "config/samples"), name)).CombinedOutput()
	if err != nil {
		f.t.Logf("%s: %s", name, out)
	}
}

// unprotected counts the rules without a jwt and without a registered authorizer,
// in the plainest way there is.
func unprotected(t *testing.T, one unstructured.Unstructured, authorizers []string) int {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(one.Object, "spec", "rules")
	require.NoError(t, err)
	count := 0
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		names, _, err := unstructured.NestedStringSlice(fields, "extAuth", "authorizers")
		require.NoError(t, err)
		registered := slices.ContainsFunc(names, func(name string) bool { return slices.Contains(authorizers, name) })
		if fields["jwt"] == nil && !registered {
			count++
		}
	}
	return count
}
