// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const registrations = "/apis/admissionregistration.k8s.io/v1"

// The webhooks that do nothing are registered as people register webhooks: for
// every create and update, without conditions.

func noopMutating(scenario, url string, ca []byte) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "noop-" + scenario},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    "mutate." + scenario + ".example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
			Rules:                   apiruleRules(),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			MatchPolicy:             new(admissionregistrationv1.Exact),
			NamespaceSelector:       namespaceOf(scenario),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(3)),
			AdmissionReviewVersions: []string{"v1"},
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
		}},
	}
}

func noopValidating(scenario, url string, ca []byte) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "noop-" + scenario},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "validate." + scenario + ".example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
			Rules:                   apiruleRules(),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			MatchPolicy:             new(admissionregistrationv1.Exact),
			NamespaceSelector:       namespaceOf(scenario),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(3)),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// policyOnly is the shape of the ValidatingAdmissionPolicy that the chart offers
// as a backstop, with the Istio CR as its parameter: every authorizer has to be
// registered.
func policyOnly() (policy *admissionregistrationv1.ValidatingAdmissionPolicy, binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	const name = "backstop"
	version := admissionregistrationv1.SchemeGroupVersion.String()
	policy = &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: version, Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionregistrationv1.Fail),
			ParamKind:     &admissionregistrationv1.ParamKind{APIVersion: "operator.kyma-project.io/v1alpha2", Kind: "Istio"},
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: apiruleRules()[0],
			}}},
			Variables: []admissionregistrationv1.Variable{{
				Name:       "registered",
				Expression: "params.?spec.?config.?authorizers.orValue([]).map(a, a.name)",
			}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "object.spec.rules.all(r, r.?extAuth.?authorizers.orValue([]).all(name, name in variables.registered))",
				Message:    "every authorizer must be registered in the Istio CR",
			}},
		},
	}
	binding = &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: version, Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name,
			ParamRef: &admissionregistrationv1.ParamRef{
				Name: "default", Namespace: "kyma-system", ParameterNotFoundAction: new(admissionregistrationv1.DenyAction),
			},
			MatchResources:    &admissionregistrationv1.MatchResources{NamespaceSelector: namespaceOf("f")},
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	return policy, binding
}

func apiruleRules() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{"gateway.kyma-project.io"}, APIVersions: []string{"v2", "v2alpha1"}, Resources: []string{"apirules"},
		},
	}}
}

func namespaceOf(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: scenario{name: name}.namespace()}}
}
