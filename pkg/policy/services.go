// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// checkService reports a protected rule whose Service cannot carry the policy:
// Kyma binds policies to the Pods that the Service selects.
func checkService(s subject) []Finding {
	if !s.rule.Protected() || s.rule.Service.Name == "" || s.facts.Services == nil {
		return nil
	}
	name := s.rule.Service.String()
	service, exists := s.facts.Services[s.rule.Service]
	switch {
	case !exists && s.facts.Partial:
		return nil
	case !exists:
		return []Finding{newFinding(ServiceNotFound, Warn, s.rule.ServiceField(), name,
			"the Service does not exist yet; Kyma reports an error and tries again with growing pauses, so create the Service, and touch the APIRule if it stays in Error",
			"Service "+name+" does not exist yet").soThat("Kyma reports an error until it does")}
	case len(service.Selector) == 0:
		return []Finding{newFinding(ServiceWithoutSelector, Warn, s.rule.ServiceField(), name,
			"the Service has no selector, so there are no Pods that a policy could protect, and Kyma refuses it; give it a selector",
			"Service "+name+" has no selector; Kyma refuses it")}
	}
	return nil
}

// checkSidecar reports a protected rule whose Pods would have no sidecar: the
// authorizer is asked by the sidecar and by nobody else.
func checkSidecar(s subject) []Finding {
	namespace, known := s.facts.Namespaces[s.rule.Service.Namespace]
	if !s.rule.Protected() || !known || namespace.Sidecars() {
		return nil
	}
	return []Finding{newFinding(SidecarMissing, Warn, s.rule.ServiceField(), s.rule.Service.String(),
		fmt.Sprintf("the namespace %s does not inject Istio sidecars, and without one in the Pod nobody asks the authorizer; label the namespace istio-injection=enabled and restart the Pods",
			s.rule.Service.Namespace),
		fmt.Sprintf("namespace %s injects no sidecars", s.rule.Service.Namespace)).soThat("nobody asks the authorizer")}
}

// checkInternalTraffic reports the first rule that leads to a workload, protected or not:
// from then on Istio admits only what an ALLOW policy names, and those that Kyma makes of
// every rule name the ingress gateway (Kyma api-gateway, authorizationpolicy/creator.go).
func checkInternalTraffic(s subject) []Finding {
	if s.rule.Strategy == apirule.Malformed || s.facts.Services == nil || s.facts.Partial || s.facts.Restricted[s.rule.Service] {
		return nil
	}
	if service, exists := s.facts.Services[s.rule.Service]; !exists || len(service.Selector) == 0 {
		return nil // Kyma refuses it, and a protected rule says so
	}
	if _, another := s.siblings.served.before(s.rule, func(use) bool { return true }); another {
		return nil
	}
	if namespace, known := s.facts.Namespaces[s.rule.Service.Namespace]; s.callersAllowed() || known && !namespace.Sidecars() {
		return nil
	}
	finding := newFinding(InternalTrafficBlocked, Warn, s.rule.ServiceField(), s.rule.Service.String(),
		"this is the first rule that leads to the workload: from now on callers inside the cluster get 403 \"RBAC: access denied\" unless an AuthorizationPolicy of your own allows them",
		"callers inside the cluster will now get 403")
	finding.Once = true
	return []Finding{finding}
}
