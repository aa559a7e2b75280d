// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// Callers is what is decided about who inside the mesh may call a Service that
// APIRules expose.
type Callers struct {
	// Allowed are the callers; nil if nobody but the ingress gateway may call.
	Allowed *annotation.Callers
	// From is what asked for callers: "Service shop/cart" or "Namespace shop"; ""
	// if nothing did.
	From string
	// Refused says in a sentence why callers that were asked for may not call, and
	// Cause names the kind of reason; "" if they may, and if nothing asked for any.
	Refused string
	Cause   CallersCause
}

// CallersCause is a kind of reason for which callers may not call.
type CallersCause string

// The causes, as far as they follow from what is decided here.
const (
	CallersUnreadable  CallersCause = "InvalidAnnotation"
	CallersExcluded    CallersCause = "NamespaceExcluded"
	CallersNotExposed  CallersCause = "NotExposed"
	CallersWithoutPods CallersCause = "ServiceWithoutSelector"
	CallersForbidden   CallersCause = "Forbidden"
)

// DecideCallers tells who inside the mesh may call a Service. The annotation of the
// Service is nearer than that of its Namespace. Callers are only let in where
// APIRules expose the Service: without one Istio keeps nobody out, and letting a few
// in would keep out everybody else.
func DecideCallers(name types.NamespacedName, service Service, facts OptOutFacts, settings Settings) Callers {
	decided := askedCallers(name, service, facts)
	if decided.Allowed == nil {
		return decided
	}
	refuse := func(cause CallersCause, format string, args ...any) Callers {
		return Callers{From: decided.From, Cause: cause, Refused: fmt.Sprintf(format, args...)}
	}
	switch forbidding := forbiddingCallers(annotation.Service, name, facts); {
	case settings.ExcludedNamespaces[name.Namespace]:
		return refuse(CallersExcluded, "extauth-guard leaves the namespace %s alone", name.Namespace)
	case !exposed(name, facts):
		return refuse(CallersNotExposed, "no APIRule exposes the Service, so Istio keeps nobody out")
	case len(service.Selector) == 0:
		return refuse(CallersWithoutPods, "the Service has no selector, and without one every Pod of the namespace would be meant")
	case len(forbidding) > 0:
		return refuse(CallersForbidden, "%s", forbiddenBy(forbidding))
	}
	return decided
}

// askedCallers returns what the annotations ask for.
func askedCallers(name types.NamespacedName, service Service, facts OptOutFacts) Callers {
	for _, one := range []struct {
		from        string
		kind        annotation.Kind
		annotations map[string]string
	}{
		{"Service " + name.String(), annotation.Service, service.Annotations},
		{"Namespace " + name.Namespace, annotation.Namespace, facts.Namespaces[name.Namespace].Annotations},
	} {
		if _, present := one.annotations[annotation.InternalCallers]; !present {
			continue
		}
		intent, errs := annotation.Parse(one.kind, one.annotations)
		if len(errs) > 0 {
			return Callers{From: one.from, Cause: CallersUnreadable, Refused: errs.ToAggregate().Error()}
		}
		return Callers{From: one.from, Allowed: intent.Callers}
	}
	return Callers{}
}

// exposed is true if a rule of an APIRule leads to the Service.
func exposed(name types.NamespacedName, facts OptOutFacts) bool {
	for _, view := range facts.APIRules {
		for _, rule := range view.Rules {
			if !view.Deleting && rule.Service == name {
				return true
			}
		}
	}
	return false
}

// CheckCallers tells whether the annotation of a Service or a Namespace lets callers
// in where a policy forbids that: one that is about an APIRule which depends on the
// object, or about all of its namespace.
func CheckCallers(kind annotation.Kind, name types.NamespacedName, annotations map[string]string, facts OptOutFacts) []Finding {
	value, present := annotations[annotation.InternalCallers]
	if !present {
		return nil
	}
	forbidding := forbiddingCallers(kind, name, facts)
	if len(forbidding) == 0 {
		return nil
	}
	sentence := forbiddenBy(forbidding)
	finding := newFinding(InternalCallersForbidden, Deny, annotation.Path(annotation.InternalCallers), value,
		sentence+"; remove the annotation, or ask the owner of the policy to allow it", sentence)
	return []Finding{finding}
}

func forbiddenBy(policies []*ClusterPolicy) string {
	verb := "forbids"
	if len(policies) > 1 {
		verb = "forbid"
	}
	return fmt.Sprintf("%s %s callers inside the mesh", names(policies), verb)
}

func forbiddingCallers(kind annotation.Kind, name types.NamespacedName, facts OptOutFacts) []*ClusterPolicy {
	namespace := name.Namespace
	if kind == annotation.Namespace {
		namespace = name.Name
	}
	var forbidding []*ClusterPolicy
	for i := range facts.Policies {
		one := &facts.Policies[i]
		if one.noCallers && (one.coversNamespace(namespace, facts) || one.concernsUser(kind, name, facts)) {
			forbidding = append(forbidding, one)
		}
	}
	return forbidding
}

// concernsUser is true if the policy is about an APIRule that depends on the object,
// whether it is exempt from something or not.
func (p *ClusterPolicy) concernsUser(kind annotation.Kind, name types.NamespacedName, facts OptOutFacts) bool {
	around := Facts{Namespaces: facts.Namespaces, GatewayDomains: facts.GatewayDomains}
	for _, view := range facts.APIRules {
		for _, rule := range view.Rules {
			depends := rule.Service == name || kind == annotation.Namespace && rule.Service.Namespace == name.Name
			if !view.Deleting && depends && p.concerns(view, rule, around) {
				return true
			}
		}
	}
	return false
}

// ForbidsCallers is true if the policy forbids callers inside the mesh.
func (p ClusterPolicy) ForbidsCallers() bool {
	return p.noCallers
}

// callersAllowed is true if somebody inside the mesh may go on calling the Service
// of the rule: our AuthorizationPolicy is there, or will be made at once.
func (s subject) callersAllowed() bool {
	name := s.rule.Service
	if s.facts.CallersAllowed[name] {
		return true
	}
	if !s.settings.InternalCallers {
		return false
	}
	asked := askedCallers(name, s.facts.Services[name], OptOutFacts{Namespaces: s.facts.Namespaces})
	if asked.Allowed == nil || s.settings.ExcludedNamespaces[name.Namespace] {
		return false
	}
	for _, one := range s.matching.of(s.rule) {
		if one.noCallers {
			return false
		}
	}
	return true
}
