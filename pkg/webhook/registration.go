// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Hook is the name of one webhook, as in its configuration, in the metrics and
// in front of the audit annotations.
type Hook string

// The webhooks.
const (
	MutateAPIRule     Hook = "mutate.apirule.extauth-guard.io"
	ValidateAPIRule   Hook = "validate.apirule.extauth-guard.io"
	ValidateIstio     Hook = "validate.istio.extauth-guard.io"
	ValidateService   Hook = "validate.service.extauth-guard.io"
	ValidateNamespace Hook = "validate.namespace.extauth-guard.io"
)

// The URL paths on which the webhooks are served.
const (
	MutateAPIRulePath     = "/mutate-apirule"
	ValidateAPIRulePath   = "/validate-apirule"
	ValidateIstioPath     = "/validate-istio"
	ValidateServicePath   = "/validate-service"
	ValidateNamespacePath = "/validate-namespace"
)

// ConfigurationName is the name of both webhook configurations.
const ConfigurationName = "extauth-guard"

// kymaController is the only writer that the webhooks never hear of: it adds and
// removes finalizers, and a denial would leave APIRules that cannot be deleted.
const kymaController = "system:serviceaccount:kyma-system:api-gateway-controller-manager"

// SystemNamespaces are [policy.SystemNamespaces].
func SystemNamespaces() []string {
	return policy.SystemNamespaces()
}

// Registration is where the webhooks are to be found by the API server.
type Registration struct {
	// Client gives the client configuration for a path: a Service and a CA
	// bundle in a cluster, a URL for a local run.
	Client func(path string) admissionregistrationv1.WebhookClientConfig
	// ExcludedNamespaces are added to [SystemNamespaces].
	ExcludedNamespaces []string
}

// Mutating returns the configuration of the mutating webhooks. Every field is
// set, so that no default of a Kubernetes version decides.
//
// A failure of the mutating webhook is ignored: the CRD then refuses an open
// rule by itself, and the validating webhook proves the final state.
func (r Registration) Mutating() *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    string(MutateAPIRule),
			ClientConfig:            r.Client(MutateAPIRulePath),
			Rules:                   apiruleRules(),
			FailurePolicy:           ptr.To(admissionregistrationv1.Ignore),
			MatchPolicy:             ptr.To(admissionregistrationv1.Exact),
			NamespaceSelector:       r.namespaces(),
			ObjectSelector:          &metav1.LabelSelector{},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](timeoutSeconds),
			AdmissionReviewVersions: []string{"v1"},
			ReinvocationPolicy:      ptr.To(admissionregistrationv1.IfNeededReinvocationPolicy),
			MatchConditions:         condition("something-to-inject", NotKymaController+" && "+someRuleOpen+" && "+APIRuleChanged),
		}},
	}
}

// Validating returns the configuration of the validating webhooks.
//
// Only that of APIRules fails closed. The guard of the Istio CR must never block
// Kyma's own lifecycle, and a malformed annotation on a Service or a Namespace
// is found again at the APIRule that depends on it.
func (r Registration) Validating() *admissionregistrationv1.ValidatingWebhookConfiguration {
	annotated := condition("annotations-changed",
		`object.metadata.?annotations.orValue({}).exists(k, k.startsWith('`+annotation.Prefix+`')) && (request.operation == 'CREATE' || `+annotationsChanged+")")
	istios := condition("authorizers-changed",
		"request.operation != 'UPDATE' || object.?spec.?config.?authorizers != oldObject.?spec.?config.?authorizers || "+annotationsChanged)
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{
			r.validating(ValidateAPIRule, ValidateAPIRulePath, admissionregistrationv1.Fail, r.namespaces(), condition("changed", NotKymaController+" && "+APIRuleChanged), apiruleRules()),
			r.validating(ValidateIstio, ValidateIstioPath, admissionregistrationv1.Ignore, &metav1.LabelSelector{}, istios,
				rules(istio.Group, istio.Version, istio.Resource, admissionregistrationv1.NamespacedScope,
					admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete)),
			r.validating(ValidateService, ValidateServicePath, admissionregistrationv1.Ignore, r.namespaces(), annotated,
				rules("", "v1", "services", admissionregistrationv1.NamespacedScope, admissionregistrationv1.Create, admissionregistrationv1.Update)),
			r.validating(ValidateNamespace, ValidateNamespacePath, admissionregistrationv1.Ignore, r.namespaces(), annotated,
				rules("", "v1", "namespaces", admissionregistrationv1.ClusterScope, admissionregistrationv1.Create, admissionregistrationv1.Update)),
		},
	}
}

func (r Registration) validating(hook Hook, path string, failure admissionregistrationv1.FailurePolicyType, namespaces *metav1.LabelSelector,
	conditions []admissionregistrationv1.MatchCondition, rules []admissionregistrationv1.RuleWithOperations,
) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name:                    string(hook),
		ClientConfig:            r.Client(path),
		Rules:                   rules,
		FailurePolicy:           new(failure),
		MatchPolicy:             ptr.To(admissionregistrationv1.Exact),
		NamespaceSelector:       namespaces,
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
		MatchConditions:         conditions,
	}
}

// timeoutSeconds bounds a call. An answer takes milliseconds, and a live read a
// quarter of a second; a client waits for all webhooks in turn.
const timeoutSeconds = 3

// apiruleRules names both versions and matches them exactly: matching
// equivalents would convert Kyma's own v1beta1 writes, whose patched result
// cannot be converted back, and leave APIRules that cannot be deleted.
func apiruleRules() []admissionregistrationv1.RuleWithOperations {
	v2 := rules(apirule.Group, "v2", apirule.Resource, admissionregistrationv1.NamespacedScope,
		admissionregistrationv1.Create, admissionregistrationv1.Update)
	v2[0].APIVersions = append(v2[0].APIVersions, "v2alpha1")
	return v2
}

func rules(group, version, resource string, scope admissionregistrationv1.ScopeType,
	operations ...admissionregistrationv1.OperationType,
) []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{group},
			APIVersions: []string{version},
			Resources:   []string{resource},
			Scope:       new(scope),
		},
	}}
}

// condition keeps away what provably needs nothing from us. It is a single one,
// for the API server evaluates all that there are whatever the others say, and
// each has its price; and what takes long, comparing objects, belongs behind a
// "&&" or "||" that mostly spares it.
func condition(name, expression string) []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{{Name: name, Expression: expression}}
}

// NotKymaController is true, in CEL, for every writer but Kyma's API Gateway controller.
const NotKymaController = "request.userInfo.username != '" + kymaController + "'"

// someRuleOpen is for the mutating webhook only: an APIRule whose rules all have
// authorizers has nothing to be injected.
const someRuleOpen = "object.?spec.?rules.orValue([]).exists(r, r.?extAuth.?authorizers.orValue([]) == [])"

// APIRuleChanged is, in CEL, false for an update of what no decision depends on, and for
// one of an APIRule that is being deleted.
const APIRuleChanged = "(request.operation == 'CREATE' || !has(object.metadata.deletionTimestamp) && " +
	"(object.?spec != oldObject.?spec || " + annotationsChanged + "))"

// annotationsChanged is true if an annotation under our prefix was added,
// changed or removed. Mostly none was, by anybody, which is quickly seen.
const annotationsChanged = `object.metadata.?annotations != oldObject.metadata.?annotations && !(` +
	`object.metadata.?annotations.orValue({}).all(k, !k.startsWith('` + annotation.Prefix + `') || ` +
	`(k in oldObject.metadata.?annotations.orValue({}) && oldObject.metadata.annotations[k] == object.metadata.annotations[k])) && ` +
	`oldObject.metadata.?annotations.orValue({}).all(k, !k.startsWith('` + annotation.Prefix + `') || ` +
	`k in object.metadata.?annotations.orValue({})))`

func (r Registration) namespaces() *metav1.LabelSelector {
	excluded := append(SystemNamespaces(), r.ExcludedNamespaces...)
	slices.Sort(excluded)
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key:      "kubernetes.io/metadata.name",
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   slices.Compact(excluded),
	}}}
}
