// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package managers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Outcome is what the API Gateway manager does with an APIRule.
type Outcome struct {
	// Failures say why it refuses the APIRule: it is then in the state Error, and
	// what was made of an earlier version stays.
	Failures []Failure
	// Objects are all that belongs to the APIRule, in the order of its rules; nil
	// if it is refused. What has its owner labels and is not among them goes.
	Objects []unstructured.Unstructured
}

// Failure is one reason for which the API Gateway manager refuses an APIRule.
type Failure struct {
	// Path is the attribute, in Kyma's spelling.
	Path string
	// Message is Kyma's own.
	Message string
}

func (f Failure) String() string { return f.Path + ": " + f.Message }

// State returns status.state of the APIRule.
func (o Outcome) State() string {
	if len(o.Failures) > 0 {
		return "Error"
	}
	return "Ready"
}

// Description returns status.description of the APIRule: the first three failures.
func (o Outcome) Description() string {
	const most = 3
	if len(o.Failures) == 0 {
		return "Reconciled successfully"
	}
	var lines []string
	for _, failure := range o.Failures[:min(len(o.Failures), most)] {
		lines = append(lines, fmt.Sprintf("Attribute '%s': %s", failure.Path, failure.Message))
	}
	if more := len(o.Failures) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more error(s)...", more))
	}
	return "Validation errors: " + strings.Join(lines, "\n")
}

// Reconcile says what the API Gateway manager makes of an APIRule v2 or v2alpha1.
// It fails for an object that does not decode, which the CRD would refuse.
func (c Cluster) Reconcile(object unstructured.Unstructured) (Outcome, error) {
	decoded, err := decode(object)
	if err != nil {
		return Outcome{}, err
	}
	if failures := c.validate(decoded); len(failures) > 0 {
		return Outcome{Failures: failures}, nil
	}
	return Outcome{Objects: append(append(c.policies(decoded), c.tokens(decoded)...), c.route(decoded))}, nil
}

// Policies returns the AuthorizationPolicies that an APIRule would get if its other
// faults did not count; it has none if the Service of a rule is missing or has no
// selector. Policies of an earlier version, which stay after a refusal, look like
// this.
func (c Cluster) Policies(object unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	decoded, err := decode(object)
	if err != nil {
		return nil, err
	}
	for _, r := range decoded.Spec.Rules {
		service, _ := decoded.serviceOf(r)
		if selector, _ := c.selectorOf(service); selector == nil {
			return nil, nil
		}
	}
	return c.policies(decoded), nil
}
