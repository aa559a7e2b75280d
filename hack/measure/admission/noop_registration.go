// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	parameters "github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/test/harness/guarantee"
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

// guaranteePolicies are the ValidatingAdmissionPolicies of the chart with their bindings,
// for the namespace of one scenario.
func guaranteePolicies() ([]*unstructured.Unstructured, error) {
	all, err := guarantee.Objects()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.GetKind() != "ValidatingAdmissionPolicyBinding" {
			continue
		}
		selected := map[string]any{corev1.LabelMetadataName: scenario{name: "f"}.namespace()}
		if err := unstructured.SetNestedMap(one.Object, selected, "spec", "matchResources", "namespaceSelector", "matchLabels"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// registerGuarantee has the API server enforce the policies, and tells them what the
// leader would.
func (p *plane) registerGuarantee(ctx context.Context) error {
	registry := policy.StaticRegistry("the Istio CR", []string{policy.DefaultAuthorizer})
	published := parameters.Parameters(parameters.Known{Registry: registry, Settings: policy.DefaultSettings()})
	if err := guarantee.Publish(ctx, p.control.Config(), published); err != nil {
		return err
	}
	policies, err := guaranteePolicies()
	if err != nil {
		return err
	}
	for _, one := range policies {
		if err := p.create(ctx, registrations+"/"+guarantee.Resource(one).Resource, one); err != nil {
			return err
		}
	}
	return nil
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
