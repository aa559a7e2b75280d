// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// OptOutFacts is what is known about the world around the annotations of a
// Service or a Namespace.
type OptOutFacts struct {
	// Policies are all policies, sorted by name.
	Policies []ClusterPolicy
	// Namespaces has the labels of the namespaces of APIRules and of the object;
	// for a Namespace those that it is about to have.
	Namespaces map[string]Namespace
	// APIRules are those in the Namespace or in front of its Services, or those that
	// use the Service.
	APIRules []apirule.View
	// GatewayDomains is as in [Facts].
	GatewayDomains map[string]string
	Now            time.Time
}

// CheckOptOut tells whether the annotation inject: "false" of a Service or a
// Namespace is forbidden, where it is written; an APIRule that depends on it
// would otherwise be the first to be refused. A policy forbids it if it is about
// an APIRule that depends on the object, or about all of its namespace.
func CheckOptOut(kind annotation.Kind, name types.NamespacedName, annotations map[string]string, facts OptOutFacts) []Finding {
	intent, errs := annotation.Parse(kind, annotations)
	if len(errs) > 0 || intent.Inject == nil || *intent.Inject {
		return nil
	}
	namespace := name.Namespace
	if kind == annotation.Namespace {
		namespace = name.Name
	}
	var forbidding []*ClusterPolicy
	for i := range facts.Policies {
		one := &facts.Policies[i]
		if one.forbidden && (one.coversNamespace(namespace, facts) || one.coversUser(kind, name, facts)) {
			forbidding = append(forbidding, one)
		}
	}
	if len(forbidding) == 0 {
		return nil
	}
	finding := optOutFinding(forbidding, annotation.Path(annotation.Inject), "false", fmt.Sprintf("%s says %s: \"false\"", kind, annotation.Inject))
	finding.Subject = string(kind)
	return []Finding{finding}
}

// coversNamespace is true if the policy is about every APIRule of a namespace
// that has something to do with it.
func (p *ClusterPolicy) coversNamespace(namespace string, facts OptOutFacts) bool {
	return p.Fault == "" && len(p.hosts) == 0 && len(p.gateways) == 0 && p.matchesNamespace(namespace, facts.Namespaces)
}

func (p *ClusterPolicy) coversUser(kind annotation.Kind, name types.NamespacedName, facts OptOutFacts) bool {
	around := Facts{Namespaces: facts.Namespaces, GatewayDomains: facts.GatewayDomains}
	for _, view := range facts.APIRules {
		if view.Deleting {
			continue
		}
		for _, rule := range view.Rules {
			if dependsOn(view, rule, kind, name) && p.concerns(view, rule, around) && !p.exempts(view.NamespacedName(), rule, facts.Now) {
				return true
			}
		}
	}
	return false
}

// dependsOn is true if the annotations of an object are a level of a rule.
func dependsOn(view apirule.View, rule apirule.Rule, kind annotation.Kind, name types.NamespacedName) bool {
	if kind == annotation.Service {
		return rule.Service == name
	}
	return view.Namespace == name.Name || rule.Service.Namespace == name.Name
}
