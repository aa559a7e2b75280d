// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package module_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/kymamodule"
)

func crds() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// begin creates the default ExtAuthGuard, with the endpoint that a replica would be.
func (s *stage) begin(t *testing.T) {
	t.Helper()
	s.endpoint(t, chart.Namespace, "extauth-guard", true)
	s.kubectl(t, []*unstructured.Unstructured{{Object: kymamodule.Default()}}, "apply", "-f", "-")
}

func TestByOneServerSideApply(t *testing.T) {
	s := newStage(t)
	all := s.manifest(t)
	s.kubectl(t, all, "apply", "--server-side", "-f", "-")
	stop := s.run(t)
	s.begin(t)
	s.ready(t)

	t.Run("a second one takes nothing away", func(t *testing.T) {
		s.kubectl(t, all, "apply", "--server-side", "-f", "-")
		s.ready(t)
		s.injects(t, "oauth2-proxy")
	})

	t.Run("without the CRD everything is as the configuration says", func(t *testing.T) {
		stop()
		require.NoError(t, s.untyped.Resource(crds()).Delete(t.Context(), "extauthguards.extauth-guard.io", metav1.DeleteOptions{}))
		require.Eventually(t, func() bool {
			_, err := s.untyped.Resource(crds()).Get(t.Context(), "extauthguards.extauth-guard.io", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}, patience, glance)
		s.run(t)
		s.injects(t, "oauth2-proxy")
	})
}

func TestAsAModule(t *testing.T) {
	s := newStage(t)
	s.byDashboard(t)
	stop, whole := s.run(t), t // a replica that is started again outlives its subtest
	s.begin(t)
	s.ready(t)
	t.Run("the states", func(t *testing.T) { testStates(t, s) })
	t.Run("a certificate that expired", func(t *testing.T) {
		stop()
		directory := t.TempDir()
		require.NoError(t, certs.WriteLocal(directory, time.Now().AddDate(-20, 0, 0)))
		expired := s.run(t, func(settings *config.WebhookConfig) {
			settings.Certificates = config.Certificates{Mode: config.CertificatesFromFiles, Directory: directory}
		})
		s.reaches(t, chart.Namespace, v1alpha1.GuardName, v1alpha1.StateError, "CertificateValid", "Expired", "the serving certificate expired on 20")
		expired()
		stop = s.run(whole)
		s.ready(t)
	})
	t.Run("one in the wrong place", func(t *testing.T) {
		s.apply(t, `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthGuard, metadata: {name: default, namespace: shop}, spec: {policy: {defaultAuthorizers: [corp]}}}`)
		s.reaches(t, "shop", "default", v1alpha1.StateWarning, "Ready", "NotTheOne", "only the ExtAuthGuard default in the namespace of the installation counts")
		assert.Equal(t, "oauth2-proxy", s.injected(t.Context()))
	})
	t.Run("the spec", func(t *testing.T) { testSpec(t, s, stop) })
}

// Each situation leads away from Ready, with a sentence, and back.
func testStates(t *testing.T, s *stage) {
	const guard = v1alpha1.GuardName
	hooks := s.typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	istios := s.untyped.Resource(schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}).Namespace("kyma-system")
	istioState := func(t *testing.T, state string) {
		raw := []byte(`{"status": {"state": "` + state + `", "description": "no quota"}}`)
		_, err := istios.Patch(t.Context(), "default", types.MergePatchType, raw, metav1.PatchOptions{}, "status")
		require.NoError(t, err)
	}
	var kept *admissionregistrationv1.MutatingWebhookConfiguration
	for _, tc := range []struct {
		name         string
		hurt, heal   func(t *testing.T)
		state        v1alpha1.State
		kind, reason string
		message      string
	}{
		{"no webhook configuration", func(t *testing.T) {
			var err error
			kept, err = hooks.Get(t.Context(), webhook.ConfigurationName, metav1.GetOptions{})
			require.NoError(t, err)
			require.NoError(t, hooks.Delete(t.Context(), webhook.ConfigurationName, metav1.DeleteOptions{}))
		}, func(t *testing.T) {
			kept.ResourceVersion, kept.UID = "", ""
			for i := range kept.Webhooks {
				kept.Webhooks[i].ClientConfig.CABundle = nil // as in the manifest; the replica writes it
			}
			_, err := hooks.Create(t.Context(), kept, metav1.CreateOptions{})
			require.NoError(t, err)
		}, v1alpha1.StateError, "AdmissionReachable", "NotRegistered", "the MutatingWebhookConfiguration extauth-guard is gone: nothing is injected"},
		{
			"no replica", func(t *testing.T) { s.endpoint(t, chart.Namespace, "extauth-guard", false) }, func(t *testing.T) { s.endpoint(t, chart.Namespace, "extauth-guard", true) },
			v1alpha1.StateError, "AdmissionReachable", "NoReadyEndpoint", "the Service extauth-guard/extauth-guard, which the API server calls, has no ready endpoint",
		},
		{
			"no Istio CR", func(t *testing.T) { require.NoError(t, istios.Delete(t.Context(), "default", metav1.DeleteOptions{})) }, func(t *testing.T) { s.istio(t, "default") },
			v1alpha1.StateError, "RegistryKnown", "NoIstioCR", "there is no Istio CR in the namespace kyma-system",
		},
		{
			"two Istio CRs", func(t *testing.T) { s.istio(t, "zweite") }, func(t *testing.T) { require.NoError(t, istios.Delete(t.Context(), "zweite", metav1.DeleteOptions{})) },
			v1alpha1.StateWarning, "RegistryKnown", "SeveralIstioCRs", "there are 2 Istio CRs, and only the oldest counts",
		},
		{
			"a troubled Istio CR", func(t *testing.T) { istioState(t, "Error") }, func(t *testing.T) { istioState(t, "Ready") },
			v1alpha1.StateWarning, "RegistryKnown", "IstioTroubled", "the Istio CR kyma-system/default is in the state Error: no quota",
		},
		{
			"an authorizer that does not run", func(t *testing.T) { s.endpoint(t, "oauth2-proxy", "oauth2-proxy", false) }, func(t *testing.T) { s.endpoint(t, "oauth2-proxy", "oauth2-proxy", true) },
			v1alpha1.StateError, "AuthorizersReady", "AuthorizerNotReady", "the Service oauth2-proxy/oauth2-proxy has no ready endpoint",
		},
		{
			"a default that is not registered", func(t *testing.T) { require.NoError(t, s.policy(t, "{defaultAuthorizers: [other]}")) }, func(t *testing.T) { require.NoError(t, s.policy(t, "{defaultAuthorizers: null}")) },
			v1alpha1.StateWarning, "AuthorizersReady", "AuthorizerNotRegistered", "other, which is injected by default, is not registered in the Istio CR kyma-system/default",
		},
		{
			"an APIRule that violates a policy", func(t *testing.T) {
				s.apply(t, `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: open, namespace: shop}, spec: {hosts: [open.example.com], gateway: kyma-system/kyma-gateway, service: {name: open, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`)
				s.apply(t, `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: all}, spec: {mode: Audit, require: {}}}`)
			}, func(t *testing.T) {
				s.remove(t, `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: all}}`)
				s.remove(t, `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: open, namespace: shop}}`)
			}, v1alpha1.StateWarning, "Covered", "NotCovered", "of 1 APIRule 1 violate a policy",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.hurt(t)
			s.reaches(t, chart.Namespace, guard, tc.state, tc.kind, tc.reason, tc.message)
			tc.heal(t)
			s.ready(t)
		})
	}
	t.Run("events say each new state", func(t *testing.T) {
		require.Eventually(t, func() bool {
			list, err := s.typed.EventsV1().Events(chart.Namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				return false
			}
			var notes []string
			for _, one := range list.Items {
				if one.Regarding.Kind == v1alpha1.GuardKind {
					notes = append(notes, one.Type+" "+one.Note)
				}
			}
			all := strings.Join(notes, "\n")
			return strings.Contains(all, "Warning the state is Error: ") && strings.Contains(all, "Warning the state is Warning: ") &&
				strings.Contains(all, "Normal the state is Ready: everything works")
		}, patience, glance)
	})
}

// What the spec says takes effect at the next admission; what is not valid does not.
func testSpec(t *testing.T, s *stage, stop func()) {
	whole := t
	const guard = v1alpha1.GuardName
	s.injects(t, "oauth2-proxy")
	require.NoError(t, s.policy(t, "{defaultAuthorizers: [corp]}"))
	s.injects(t, "corp")
	s.ready(t)

	t.Run("the API server refuses what is not valid", func(t *testing.T) {
		for policy, want := range map[string]string{
			"{names: Mine}":                      "spec.policy.names: Unsupported value",
			"{defaultAuthorizers: []}":           "spec.policy.defaultAuthorizers: Invalid value",
			"{defaultAuthorizers: [Corp]}":       "an authorizer's name has lower-case letters",
			"{defaultAuthorizers: [corp, corp]}": "spec.policy.defaultAuthorizers[1]: Duplicate value",
			"{excludedNamespaces: [a/b]}":        "a namespace's name has lower-case letters",
			"{unknownRegistry: Maybe}":           "spec.policy.unknownRegistry: Unsupported value",
		} {
			require.ErrorContains(t, s.policy(t, policy), want, policy)
		}
	})

	t.Run("an excluded namespace is left alone", func(t *testing.T) {
		require.NoError(t, s.policy(t, "{excludedNamespaces: [shop]}"))
		require.Eventually(t, func() bool { // nobody injects, so the CRD refuses the rule
			return strings.Contains(s.injected(t.Context()), "must be set")
		}, patience, glance)
		require.NoError(t, s.policy(t, "{excludedNamespaces: null}"))
		s.injects(t, "corp")
	})

	t.Run("what another CRD lets through changes nothing", func(t *testing.T) {
		_, err := s.untyped.Resource(crds()).Patch(t.Context(), "extauthguards.extauth-guard.io", types.JSONPatchType, []byte(
			`[{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/policy/properties/names/enum"}]`), metav1.PatchOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.policy(t, "{defaultAuthorizers: [oauth2-proxy], names: Mine}") == nil }, patience, glance)
		s.reaches(t, chart.Namespace, guard, v1alpha1.StateError, "SettingsApplied", "InvalidSpec", `spec.policy.names: Unsupported value: "Mine"`)
		assert.Equal(t, "corp", s.injected(t.Context()), "as before")

		stop()
		s.run(whole)
		s.injects(t, "corp")
		found, err := s.guard(t.Context(), chart.Namespace, guard)
		require.NoError(t, err)
		assert.Equal(t, v1alpha1.StateError, found.Status.State)
		require.NoError(t, s.policy(t, "{defaultAuthorizers: [corp], names: null}"))
		s.ready(t)
	})

	t.Run("removing it brings the configuration back", func(t *testing.T) {
		hold := func(finalizers string) {
			_, err := s.guards(chart.Namespace).Patch(t.Context(), guard, types.MergePatchType, []byte(`{"metadata": {"finalizers": `+finalizers+`}}`), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		hold(`["example.com/hold"]`)
		require.NoError(t, s.guards(chart.Namespace).Delete(t.Context(), guard, metav1.DeleteOptions{}))
		s.reaches(t, chart.Namespace, guard, v1alpha1.StateDeleting, "Ready", "Deleting", "counts again when the ExtAuthGuard is gone")
		assert.Equal(t, "corp", s.injected(t.Context()), "it is there")
		hold("null")
		s.injects(t, "oauth2-proxy")
		_, err := s.guard(t.Context(), chart.Namespace, guard)
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
}
