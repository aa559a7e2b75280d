// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package module_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/certs"
	"github.com/extauth-guard/extauth-guard/pkg/controllers/module"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/settings"
)

func TestTheState(t *testing.T) {
	const ready = metav1.ConditionTrue
	cases := map[string]struct {
		change func(*module.Observed, *settings.Guard)
		state  v1alpha1.State
		kind   string
		status metav1.ConditionStatus
		reason string
		want   string
	}{
		"everything works": {
			func(*module.Observed, *settings.Guard) {}, v1alpha1.StateReady, module.Ready, ready, "Ready", "everything works",
		},

		"the spec is not valid": {func(_ *module.Observed, g *settings.Guard) {
			g.Faults = field.ErrorList{field.Invalid(field.NewPath("spec", "policy", "names"), "Mine", "no")}
		}, v1alpha1.StateError, module.SettingsApplied, metav1.ConditionFalse, module.ReasonInvalidSpec, `spec.policy.names: Invalid value: "Mine": no; what was in force before still is`},

		"the webhook configurations were not read": {
			func(o *module.Observed, _ *settings.Guard) { o.Hooks = nil },
			v1alpha1.StateProcessing, module.AdmissionReachable, metav1.ConditionUnknown, module.ReasonNotRead, "were not read yet",
		},
		"no MutatingWebhookConfiguration": {
			func(o *module.Observed, _ *settings.Guard) { o.Hooks.Mutating = nil },
			v1alpha1.StateError, module.AdmissionReachable, metav1.ConditionFalse, module.ReasonNotRegistered, "the MutatingWebhookConfiguration extauth-guard is gone: nothing is injected",
		},
		"no ValidatingWebhookConfiguration": {
			func(o *module.Observed, _ *settings.Guard) { o.Hooks.Validating = nil },
			v1alpha1.StateError, module.AdmissionReachable, metav1.ConditionFalse, module.ReasonNotRegistered, "the ValidatingWebhookConfiguration extauth-guard is gone: nothing is refused",
		},
		"neither": {
			func(o *module.Observed, _ *settings.Guard) { o.Hooks.Mutating, o.Hooks.Validating = nil, nil },
			v1alpha1.StateError, module.AdmissionReachable, metav1.ConditionFalse, module.ReasonNotRegistered, "both webhook configurations are gone",
		},
		"no CA bundle": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Hooks.Validating.Webhooks[0].ClientConfig.CABundle = nil
			},
			v1alpha1.StateError, module.AdmissionReachable, metav1.ConditionFalse, module.ReasonNoBundle, "the webhook v.extauth-guard.io has no CA bundle",
		},
		"no replica": {
			func(o *module.Observed, _ *settings.Guard) { clear(o.Ready) },
			v1alpha1.StateError, module.AdmissionReachable, metav1.ConditionFalse, module.ReasonNoEndpoint, "the Service release/extauth-guard, which the API server calls, has no ready endpoint",
		},

		"no certificate": {
			func(o *module.Observed, _ *settings.Guard) { o.Chain = nil },
			v1alpha1.StateProcessing, module.CertificateValid, metav1.ConditionUnknown, module.ReasonNoCertificate, "there is no certificate yet",
		},
		"a certificate that expired": {
			func(o *module.Observed, _ *settings.Guard) { o.Now = o.Chain[0].NotAfter; o.Since = o.Now },
			v1alpha1.StateError, module.CertificateValid, metav1.ConditionFalse, module.ReasonExpired, "the serving certificate expired on ",
		},
		"one that is about to": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Now = o.Chain[0].NotAfter.Add(time.Second - 24*time.Hour)
				o.Since = o.Now
			},
			v1alpha1.StateWarning, module.CertificateValid, metav1.ConditionFalse, module.ReasonExpiresSoon, "and was not renewed",
		},
		"one with a day left": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Now = o.Chain[0].NotAfter.Add(-24 * time.Hour)
				o.Since = o.Now
			},
			v1alpha1.StateReady, module.CertificateValid, ready, "Valid", "the serving certificate is valid until ",
		},
		"one that nobody trusts": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Hooks.Mutating.Webhooks[0].ClientConfig.CABundle = []byte("other")
			},
			v1alpha1.StateError, module.CertificateValid, metav1.ConditionFalse, module.ReasonNotTrusted, "does not accept the serving certificate for the webhook m.extauth-guard.io",
		},

		"no Istio CR": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Registry = policy.UnknownRegistryBecause("there is no Istio CR")
			},
			v1alpha1.StateError, module.RegistryKnown, metav1.ConditionFalse, module.ReasonNoIstioCR, "there is no Istio CR; enable Kyma's Istio module",
		},
		"no Istio CR, and the authorizers": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Registry = policy.UnknownRegistryBecause("there is no Istio CR")
			},
			v1alpha1.StateError, module.AuthorizersReady, metav1.ConditionUnknown, module.ReasonRegistryUnknown, "not known",
		},
		"a troubled Istio CR": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Registry.State, o.Registry.Description = "Error", "no quota"
			},
			v1alpha1.StateWarning, module.RegistryKnown, metav1.ConditionFalse, module.ReasonIstioTroubled, "the Istio CR kyma-system/default is in the state Error: no quota",
		},
		"an Istio CR with warnings": {
			func(o *module.Observed, _ *settings.Guard) { o.Registry.State = "Warning" },
			v1alpha1.StateReady, module.RegistryKnown, ready, "Known", "registers 1 authorizer",
		},
		"two Istio CRs": {
			func(o *module.Observed, _ *settings.Guard) { o.Istios = 2 },
			v1alpha1.StateWarning, module.RegistryKnown, metav1.ConditionFalse, module.ReasonSeveralIstioCRs, "there are 2 Istio CRs, and only the oldest counts: the Istio CR kyma-system/default",
		},

		"a default authorizer that is not registered": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Settings.DefaultAuthorizers = []string{"oauth2-proxy", "corp"}
			},
			v1alpha1.StateWarning, module.AuthorizersReady, metav1.ConditionFalse, module.ReasonAuthorizerNotRegistered, "corp, which is injected by default, is not registered in the Istio CR kyma-system/default",
		},
		"one that does not run": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Backends["oauth2-proxy"] = policy.Backend{Service: types.NamespacedName{Namespace: "oauth2-proxy", Name: "oauth2-proxy"}, Exists: true, HasPort: true}
			},
			v1alpha1.StateError, module.AuthorizersReady, metav1.ConditionFalse, module.ReasonAuthorizerNotReady, "oauth2-proxy: the Service oauth2-proxy/oauth2-proxy has no ready endpoint",
		},
		"one that is elsewhere": {
			func(o *module.Observed, _ *settings.Guard) { clear(o.Backends) },
			v1alpha1.StateReady, module.AuthorizersReady, ready, "Answering", "oauth2-proxy",
		},
		"one that the mesh lacks": {
			func(o *module.Observed, _ *settings.Guard) { o.Registry = o.Registry.WithMesh(&istio.Mesh{}) },
			v1alpha1.StateError, module.AuthorizersReady, metav1.ConditionFalse, module.ReasonAuthorizerNotInForce, "the mesh configuration lacks oauth2-proxy",
		},

		"nobody has looked at APIRules": {
			func(o *module.Observed, _ *settings.Guard) { o.Coverage = nil },
			v1alpha1.StateProcessing, module.Covered, metav1.ConditionUnknown, module.ReasonNotAudited, "the audit has not looked yet, or is off",
		},
		"nobody looks at APIRules at all": {
			func(o *module.Observed, _ *settings.Guard) { o.Coverage, o.Since = nil, o.Now.Add(-2*time.Minute) },
			v1alpha1.StateWarning, module.Covered, metav1.ConditionUnknown, module.ReasonNotAudited, "the audit has not looked yet, or is off",
		},
		"APIRules that lack something": {
			func(o *module.Observed, _ *settings.Guard) {
				o.Coverage = &module.Coverage{APIRules: 9, Violating: 1, NotEnforced: 2, Open: 3, Blocked: 1}
			},
			v1alpha1.StateWarning, module.Covered, metav1.ConditionFalse, module.ReasonNotCovered,
			"of 9 APIRules 1 violate a policy, 2 are protected by declaration only, 3 are open against what was asked for, 1 answer every request with 403",
		},

		"it is about to go": {
			func(_ *module.Observed, g *settings.Guard) { g.Object.DeletionTimestamp = &metav1.Time{Time: noon()} },
			v1alpha1.StateDeleting, module.Ready, metav1.ConditionFalse, "Deleting", "what the configuration file says counts again",
		},
		"another one": {
			func(_ *module.Observed, g *settings.Guard) { g.Counts = false },
			v1alpha1.StateWarning, module.Ready, metav1.ConditionFalse, module.ReasonNotTheOne, "only the ExtAuthGuard default in the namespace of the installation counts",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			seen, guard := wellSeen(t), wellMeant()
			tc.change(&seen, &guard)
			before := guard.Object.DeepCopy()
			got := module.Status(guard, seen)
			assert.Equal(t, tc.state, got.State)
			condition := meta.FindStatusCondition(got.Conditions, tc.kind)
			require.NotNil(t, condition)
			assert.Equal(t, tc.status, condition.Status)
			assert.Equal(t, tc.reason, condition.Reason)
			assert.Contains(t, condition.Message, tc.want)
			assert.Equal(t, got.State == v1alpha1.StateReady, meta.IsStatusConditionTrue(got.Conditions, module.Ready), "Ready says what the state says")
			assert.Empty(t, cmp.Diff(before, guard.Object), "what was given is not changed")

			guard.Object.Status = got
			seen.Now, seen.Since = seen.Now.Add(time.Second), seen.Since.Add(time.Second)
			if tc.reason != module.ReasonExpiresSoon && tc.reason != "Valid" {
				assert.Empty(t, cmp.Diff(got, module.Status(guard, seen)), "nothing new, nothing to write")
			}
		})
	}
}

func TestOfSeveralFaultsTheWorstCounts(t *testing.T) {
	seen, guard := wellSeen(t), wellMeant()
	seen.Coverage, seen.Registry, seen.Hooks.Mutating = nil, policy.UnknownRegistryBecause("there is no Istio CR"), nil
	got := module.Status(guard, seen)
	assert.Equal(t, v1alpha1.StateError, got.State)
	why := meta.FindStatusCondition(got.Conditions, module.Ready)
	require.NotNil(t, why)
	assert.Equal(t, module.ReasonNotRegistered, why.Reason, "of two the first")
	assert.Contains(t, why.Message, "(and 3 more: see the other conditions)")
}

func TestWhatAStatusKeeps(t *testing.T) {
	seen, guard := wellSeen(t), wellMeant()
	first := module.Status(guard, seen)
	assert.Equal(t, int64(3), first.ObservedGeneration)
	assert.Equal(t, guard.Applied, first.Policy)
	guard.Object.Status = first

	later := wellSeen(t)
	later.Now, later.Since = seen.Now.Add(time.Hour), seen.Now.Add(time.Hour)
	later.Istios = 2
	guard.Applied = nil
	second := module.Status(guard, later)
	for _, condition := range second.Conditions {
		changed := condition.Type == module.Ready || condition.Type == module.RegistryKnown
		assert.Equal(t, changed, condition.LastTransitionTime.Time.Equal(later.Now), condition.Type)
	}
	assert.NotNil(t, second.Policy, "a replica that knows no valid one leaves what is there")

	guard.Counts = false
	third := module.Status(guard, later)
	assert.Len(t, third.Conditions, 1, "what counted once says nothing else any more")
	assert.Nil(t, third.Policy)
}

func noon() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }

// wellMeant is the one ExtAuthGuard that counts.
func wellMeant() settings.Guard {
	object := &v1alpha1.ExtAuthGuard{}
	object.Namespace, object.Name, object.Generation = "release", v1alpha1.GuardName, 3
	return settings.Guard{Object: object, Counts: true, Applied: &v1alpha1.GuardPolicy{}}
}

// wellSeen is an installation of which everything works.
func wellSeen(t *testing.T) module.Observed {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, certs.WriteLocal(folder, noon()))
	bundle, err := os.ReadFile(filepath.Join(folder, certs.CAFile))
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, certs.CertificateFile), filepath.Join(folder, certs.KeyFile))
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	require.Greater(t, leaf.NotAfter.Sub(noon()), 25*time.Hour)
	service := types.NamespacedName{Namespace: "release", Name: "extauth-guard"}
	client := admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{Namespace: service.Namespace, Name: service.Name}, CABundle: bundle,
	}
	return module.Observed{
		Now: noon(), Since: noon(),
		Hooks: &module.Hooks{
			Name:       "extauth-guard",
			Mutating:   &admissionregistrationv1.MutatingWebhookConfiguration{Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "m.extauth-guard.io", ClientConfig: client}}},
			Validating: &admissionregistrationv1.ValidatingWebhookConfiguration{Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "v.extauth-guard.io", ClientConfig: client}}},
		},
		Ready: map[types.NamespacedName]bool{service: true},
		Chain: []*x509.Certificate{leaf},
		Registry: policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", State: "Ready", Authorizers: []istio.Authorizer{
			{Name: "oauth2-proxy", Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80},
		}}),
		Settings: policy.DefaultSettings(), Istios: 1,
		Backends: map[string]policy.Backend{"oauth2-proxy": {Exists: true, HasPort: true, Ready: true}},
		Coverage: &module.Coverage{APIRules: 4},
	}
}
