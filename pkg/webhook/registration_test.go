// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

func registration(excluded ...string) webhook.Registration {
	return webhook.Registration{
		Client: func(path string) admissionregistrationv1.WebhookClientConfig {
			url := "https://127.0.0.1:9443" + path
			return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: []byte("ca")}
		},
		ExcludedNamespaces: excluded,
	}
}

// hook is what the two kinds of configuration have in common.
type hook struct {
	path       string
	rules      string
	failure    admissionregistrationv1.FailurePolicyType
	conditions []string
}

func TestRegistration(t *testing.T) {
	apirules := "[CREATE UPDATE] [gateway.kyma-project.io] [v2 v2alpha1] [apirules] Namespaced"
	want := map[webhook.Hook]hook{
		webhook.MutateAPIRule: {
			"/mutate-apirule", apirules, admissionregistrationv1.Ignore,
			[]string{"something-to-inject"},
		},
		webhook.ValidateAPIRule: {
			"/validate-apirule", apirules, admissionregistrationv1.Fail,
			[]string{"changed"},
		},
		webhook.ValidateIstio: {
			"/validate-istio", "[CREATE UPDATE DELETE] [operator.kyma-project.io] [v1alpha2] [istios] Namespaced",
			admissionregistrationv1.Ignore,
			[]string{"authorizers-changed"},
		},
		webhook.ValidateService: {
			"/validate-service", "[CREATE UPDATE] [] [v1] [services] Namespaced", admissionregistrationv1.Ignore,
			[]string{"annotations-changed"},
		},
		webhook.ValidateNamespace: {
			"/validate-namespace", "[CREATE UPDATE] [] [v1] [namespaces] Cluster", admissionregistrationv1.Ignore,
			[]string{"annotations-changed"},
		},
	}
	got := map[webhook.Hook]hook{}
	for _, one := range registration().Mutating().Webhooks {
		got[webhook.Hook(one.Name)] = common(t, one)
		assert.Equal(t, admissionregistrationv1.IfNeededReinvocationPolicy, *one.ReinvocationPolicy, one.Name)
	}
	for _, one := range registration().Validating().Webhooks {
		got[webhook.Hook(one.Name)] = common(t, one)
	}
	assert.Equal(t, want, got)
}

// common checks what holds for every webhook, and returns what differs. A field
// that a new version of the API adds fails here until somebody decides on it.
func common(t *testing.T, webhook any) hook {
	t.Helper()
	value := reflect.ValueOf(webhook)
	field := func(name string) any { return value.FieldByName(name).Interface() }
	name := field("Name")
	for i := range value.NumField() {
		assert.False(t, value.Field(i).IsZero(), "%s: %s is left to the default of a Kubernetes version", name, value.Type().Field(i).Name)
	}
	assert.Equal(t, admissionregistrationv1.Exact, *field("MatchPolicy").(*admissionregistrationv1.MatchPolicyType), name)
	assert.Equal(t, admissionregistrationv1.SideEffectClassNone, *field("SideEffects").(*admissionregistrationv1.SideEffectClass), name)
	assert.Equal(t, int32(3), *field("TimeoutSeconds").(*int32), name)
	assert.Equal(t, []string{"v1"}, field("AdmissionReviewVersions"), name)
	assert.Equal(t, &metav1.LabelSelector{}, field("ObjectSelector"), name)

	var one hook
	rules := field("Rules").([]admissionregistrationv1.RuleWithOperations)
	require.Len(t, rules, 1, name)
	one.rules = fmt.Sprintf("%v %v %v %v %s", rules[0].Operations, rules[0].APIGroups, rules[0].APIVersions, rules[0].Resources, *rules[0].Scope)
	one.failure = *field("FailurePolicy").(*admissionregistrationv1.FailurePolicyType)
	client := field("ClientConfig").(admissionregistrationv1.WebhookClientConfig)
	one.path = (*client.URL)[len("https://127.0.0.1:9443"):]
	for _, condition := range field("MatchConditions").([]admissionregistrationv1.MatchCondition) {
		one.conditions = append(one.conditions, condition.Name)
	}
	return one
}

func TestNamespacesThatAreLeftAlone(t *testing.T) {
	for _, one := range []*metav1.LabelSelector{
		registration("extauth-guard", "oauth2-proxy", "kube-system").Mutating().Webhooks[0].NamespaceSelector,
		registration("extauth-guard", "oauth2-proxy", "kube-system").Validating().Webhooks[0].NamespaceSelector,
	} {
		selector, err := metav1.LabelSelectorAsSelector(one)
		require.NoError(t, err)
		for _, name := range []string{"kube-system", "kyma-system", "istio-system", "extauth-guard", "oauth2-proxy"} {
			assert.False(t, selector.Matches(labels.Set{"kubernetes.io/metadata.name": name}), name)
		}
		assert.True(t, selector.Matches(labels.Set{"kubernetes.io/metadata.name": "shop"}))
	}
	for _, one := range registration().Validating().Webhooks {
		if one.Name == string(webhook.ValidateIstio) {
			assert.Equal(t, &metav1.LabelSelector{}, one.NamespaceSelector, "the Istio CR is in a namespace of the system")
		}
	}
}
