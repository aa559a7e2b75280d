// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command guarantee writes the ValidatingAdmissionPolicies with which the API server
// itself keeps what the webhooks promise, for the chart. Codes, annotations, fields and
// sentences are those of the packages that decide; only the logic is said again, in CEL.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "guarantee:", err)
		os.Exit(1)
	}
}

func write() error {
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	all := map[string]admissionregistrationv1.ValidatingAdmissionPolicySpec{}
	for name, compose := range map[string]func() (admissionregistrationv1.ValidatingAdmissionPolicySpec, error){
		"apirules.extauth-guard.io": apirules, "extauthpolicies.extauth-guard.io": policies, "optouts.extauth-guard.io": optOuts,
	} {
		if all[name], err = compose(); err != nil {
			return err
		}
	}
	raw, err := yaml.Marshal(all)
	if err != nil {
		return fmt.Errorf("encoding the policies: %w", err)
	}
	head := "# Generated from hack/generate/guarantee by make generate; do not edit.\n"
	return os.WriteFile(filepath.Join(root, "charts", "extauth-guard", "files", "guarantee.yaml"), append([]byte(head), raw...), 0o644)
}

// forAPIRules is a policy that looks at writes of APIRules which may matter, as the
// validating webhook does. Those of Kyma's controller and of APIRules that are being
// deleted pass; one that another controller owns is never refused.
func forAPIRules() admissionregistrationv1.ValidatingAdmissionPolicySpec {
	spec := admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "not-kyma-controller", Expression: webhook.NotKymaController},
			{Name: "not-deleting", Expression: "!has(object.metadata.deletionTimestamp)"},
			{Name: "not-owned", Expression: "!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false) && !(o.apiVersion == 'v1' && o.kind == 'Service'))"},
			{Name: "changed", Expression: webhook.APIRuleChanged},
		},
		Variables: []admissionregistrationv1.Variable{
			variable("numbers", numbers()),
			variable("rules", rules("object")),
			variable("before", before(rules("oldObject"), "[]")),
			variable("reached", fill(reached)),
			variable("protected", places("variables.rules", isProtected)),
			variable("protectedBefore", places("variables.before", isProtected)),
			variable("alike", fill(alike)),
		},
	}
	complete(&spec, matching(apirule.Group, []string{"v2", "v2alpha1"}, admissionregistrationv1.NamespacedScope, apirule.Resource))
	return spec
}

// complete sets every field, so that no default of a Kubernetes version decides.
func complete(spec *admissionregistrationv1.ValidatingAdmissionPolicySpec, rules admissionregistrationv1.NamedRuleWithOperations) {
	spec.FailurePolicy = ptr.To(admissionregistrationv1.Fail)
	spec.MatchConstraints = &admissionregistrationv1.MatchResources{
		MatchPolicy: ptr.To(admissionregistrationv1.Exact), ObjectSelector: &metav1.LabelSelector{}, NamespaceSelector: &metav1.LabelSelector{},
		ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{rules},
	}
}

func matching(group string, versions []string, scope admissionregistrationv1.ScopeType, resources ...string) admissionregistrationv1.NamedRuleWithOperations {
	return admissionregistrationv1.NamedRuleWithOperations{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{group}, APIVersions: versions, Resources: resources, Scope: new(scope)},
	}}
}

func variable(name, expression string) admissionregistrationv1.Variable {
	return admissionregistrationv1.Variable{Name: name, Expression: expression}
}

// saying is the sentence about a finding, in CEL.
type saying struct {
	code       policy.Code
	expression string
}

// validation refuses what makes the expression false. Where the sentence cannot be made,
// as with a line break in a value, it is the cause in the reference.
func validation(expression string, say saying) admissionregistrationv1.Validation {
	one := admissionregistrationv1.Validation{Expression: expression, MessageExpression: say.expression, Reason: ptr.To(metav1.StatusReasonInvalid)}
	for _, reference := range policy.References() {
		if reference.Code == say.code {
			one.Message = fmt.Sprintf("%s %s [%s]", reference.Cause, reference.Fix, say.code)
		}
	}
	return one
}

// tooMany refuses an APIRule with more rules than are told apart, if an expression is
// true for one of its rules r: what was wrong before is not known then.
func tooMany(expression string) admissionregistrationv1.Validation {
	one := validation(fill("size(variables.rules) <= $max || !variables.rules.exists(r, $e)", "max", number(maxRules), "e", expression), saying{})
	one.Message = fmt.Sprintf("spec.rules: Too many: must have at most %d items while a rule is open that has to be protected; split the APIRule [%s]", maxRules, policy.LimitExceeded)
	return one
}

func number(value int) string { return strconv.Itoa(value) }
