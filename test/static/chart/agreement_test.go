// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap/steps"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// read returns the one object of a kind and a name, as T.
func read[T any](t *testing.T, rendering chart.Rendering, kind, namespace, name string) *T {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() == kind && object.GetNamespace() == namespace && object.GetName() == name {
			into := new(T)
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into))
			return into
		}
	}
	require.Fail(t, "not rendered", "%s %s/%s", kind, namespace, name)
	return nil
}

// render renders with values, where nothing is missing in the cluster.
func render(t *testing.T, values map[string]any) chart.Rendering {
	t.Helper()
	rendering, err := chart.Render(chart.Options{Values: values, APIVersions: everywhere})
	require.NoError(t, err)
	return rendering
}

func TestTheWebhooksAreThoseOfTheCode(t *testing.T) {
	registration := webhook.Registration{
		Client: func(path string) admissionregistrationv1.WebhookClientConfig {
			return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: chart.Namespace, Name: "extauth-guard", Path: new(path), Port: ptr.To[int32](443),
			}}
		},
		ExcludedNamespaces: []string{chart.Namespace},
	}
	rendering := render(t, nil)
	mutating := read[admissionregistrationv1.MutatingWebhookConfiguration](t, rendering, "MutatingWebhookConfiguration", "", webhook.ConfigurationName)
	assert.Empty(t, cmp.Diff(registration.Mutating().Webhooks, mutating.Webhooks), "(-code +chart)")
	validating := read[admissionregistrationv1.ValidatingWebhookConfiguration](t, rendering, "ValidatingWebhookConfiguration", "", webhook.ConfigurationName)
	assert.Empty(t, cmp.Diff(registration.Validating().Webhooks, validating.Webhooks), "(-code +chart)")
}

func TestOnlyWhatFailsClosedFollowsTheFailurePolicy(t *testing.T) {
	rendering := render(t, map[string]any{"webhooks": map[string]any{"failurePolicy": "Ignore"}})
	validating := read[admissionregistrationv1.ValidatingWebhookConfiguration](t, rendering, "ValidatingWebhookConfiguration", "", webhook.ConfigurationName)
	for _, hook := range validating.Webhooks {
		assert.Equal(t, admissionregistrationv1.Ignore, *hook.FailurePolicy, hook.Name)
	}
}

// What the chart leaves alone in the webhook configurations, the server leaves
// alone too, and the other way round.
func TestTheServerLeavesAloneWhatTheSelectorDoes(t *testing.T) {
	for name, rendering := range documented(t) {
		t.Run(name, func(t *testing.T) {
			settings := webhookConfig(t, rendering)
			validating := read[admissionregistrationv1.ValidatingWebhookConfiguration](t, rendering, "ValidatingWebhookConfiguration", "", webhook.ConfigurationName)
			want := append(webhook.SystemNamespaces(), settings.Policy.ExcludedNamespaces...)
			slices.Sort(want)
			assert.Equal(t, want, validating.Webhooks[0].NamespaceSelector.MatchExpressions[0].Values)
		})
	}
}

func webhookConfig(t *testing.T, rendering chart.Rendering) config.WebhookConfig {
	t.Helper()
	raw := read[corev1.ConfigMap](t, rendering, "ConfigMap", chart.Namespace, "extauth-guard").Data["config.yaml"]
	settings, err := config.LoadWebhook([]byte(raw))
	require.NoError(t, err)
	return settings
}

func TestTheWebhookReadsItsConfiguration(t *testing.T) {
	for name, rendering := range documented(t) {
		t.Run(name, func(t *testing.T) { webhookConfig(t, rendering) })
	}
}

func TestTheDefaultsAreThoseOfTheCode(t *testing.T) {
	want := config.DefaultWebhook()
	want.Certificates.Mode = config.CertificatesSelf
	want.Certificates.Self.Namespace, want.Certificates.Self.Secret, want.Certificates.Self.Service = chart.Namespace, "extauth-guard-tls", "extauth-guard"
	want.Policy.ExcludedNamespaces = []string{chart.Namespace}
	want.LeaderElection.Namespace = chart.Namespace
	assert.Empty(t, cmp.Diff(want, webhookConfig(t, render(t, nil))), "(-code +chart)")

	required := map[string]any{
		"issuer": map[string]any{"url": "https://issuer.example.com"}, "credentials": map[string]any{"name": "client"},
		"proxy": map[string]any{"chart": map[string]any{"digest": digest}},
	}
	got := bootstrapConfig(t, render(t, map[string]any{"bootstrap": map[string]any{"enabled": true, "config": required}}))
	defaults := config.DefaultBootstrap()
	defaults.Issuer.URL, defaults.Credentials.Name, defaults.Credentials.Namespace = "https://issuer.example.com", "client", chart.Namespace
	defaults.Proxy.Chart.Digest = digest
	defaults.Proxy.EmailDomains = []string{"*"} // what the flow makes of none
	// Through JSON, where nothing and empty are the same.
	assert.Empty(t, cmp.Diff(asJSON(t, defaults), asJSON(t, got)), "(-code +chart)")
}

const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func asJSON(t *testing.T, value any) any {
	t.Helper()
	raw, err := json.Marshal(value)
	require.NoError(t, err)
	var plain any
	require.NoError(t, json.Unmarshal(raw, &plain))
	return withoutEmpty(plain)
}

func withoutEmpty(value any) any {
	fields, ok := value.(map[string]any)
	if !ok {
		return value
	}
	for key, each := range fields {
		each = withoutEmpty(each)
		switch typed := each.(type) {
		case nil:
			delete(fields, key)
		case []any:
			if len(typed) == 0 {
				delete(fields, key)
			}
		case map[string]any:
			if len(typed) == 0 {
				delete(fields, key)
			}
		}
	}
	return fields
}

func bootstrapConfig(t *testing.T, rendering chart.Rendering) config.BootstrapConfig {
	t.Helper()
	raw := read[corev1.ConfigMap](t, rendering, "ConfigMap", chart.Namespace, "extauth-guard-bootstrap-config").Data["config.yaml"]
	settings, err := config.LoadBootstrap([]byte(raw))
	require.NoError(t, err)
	require.Empty(t, config.ValidateBootstrap(settings))
	return settings
}

// The job's account may do what its steps ask for, what its lock and its results
// need, and nothing else.
func TestThePermissionsOfTheBootstrapJob(t *testing.T) {
	for _, name := range []string{"client-credentials", "authorization-code", "everything"} {
		t.Run(name, func(t *testing.T) {
			rendering := documented(t)[name]
			assert.Empty(t, cmp.Diff(needed(steps.Permissions(bootstrapConfig(t, rendering))), granted(t, rendering, bootstrapJob)), "(-code +chart)")
		})
		t.Run(name+", uninstall", func(t *testing.T) {
			rendering := documentedFile(t, "testdata/"+name+".values.yaml", func(values map[string]any) {
				require.NoError(t, unstructured.SetNestedField(values, "Uninstall", "bootstrap", "action"))
			})
			assert.Empty(t, cmp.Diff(needed(steps.UninstallPermissions(bootstrapConfig(t, rendering))), granted(t, rendering, bootstrapJob)), "(-code +chart)")
			job := read[batchv1.Job](t, rendering, "Job", chart.Namespace, bootstrapJob)
			assert.Equal(t, []string{"/bootstrap", "uninstall", "--config", "/etc/extauth-guard/config.yaml"}, job.Spec.Template.Spec.Containers[0].Command)
		})
	}
}

// bootstrapJob is the name of the job, of its account, its roles and its lock.
const bootstrapJob = "extauth-guard-bootstrap"

// needed are permissions of steps, with those for the lock and the results.
func needed(of []steps.Permission) map[string]bool {
	want := map[string]bool{}
	for _, permission := range of {
		want[permission.String()] = true
	}
	for _, own := range []steps.Permission{
		{Group: "coordination.k8s.io", Resource: "leases", Verb: "list"},
		{Group: "coordination.k8s.io", Resource: "leases", Verb: "create"},
		{Group: "coordination.k8s.io", Resource: "leases", Name: bootstrapJob, Verb: "get"},
		{Group: "coordination.k8s.io", Resource: "leases", Name: bootstrapJob, Verb: "update"},
		{Resource: "configmaps", Verb: "create"},
		{Resource: "configmaps", Name: bootstrapJob, Verb: "get"},
		{Resource: "configmaps", Name: bootstrapJob, Verb: "update"},
	} {
		own.Namespace = chart.Namespace
		want[own.String()] = true
	}
	return want
}

// granted returns what the roles of a name allow, in the words of a permission.
func granted(t *testing.T, rendering chart.Rendering, name string) map[string]bool {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	all := map[string]bool{}
	for _, object := range objects {
		if (object.GetKind() != "Role" && object.GetKind() != "ClusterRole") || object.GetName() != name {
			continue
		}
		var role rbacv1.Role
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role))
		for _, rule := range role.Rules {
			for _, each := range permissions(object.GetNamespace(), rule) {
				all[each.String()] = true
			}
		}
	}
	return all
}

func permissions(namespace string, rule rbacv1.PolicyRule) []steps.Permission {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var all []steps.Permission
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, name := range names {
				for _, verb := range rule.Verbs {
					all = append(all, steps.Permission{Namespace: namespace, Group: group, Resource: resource, Name: name, Verb: verb})
				}
			}
		}
	}
	return all
}
