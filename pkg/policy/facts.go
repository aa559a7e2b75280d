// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Facts is what is known about the world around one APIRule: plain values,
// collected by the front end and never changed by this package. What is not
// known is told apart from what is not there; a check that lacks its fact says
// nothing.
type Facts struct {
	// Registry is what is known about authorizers. Its zero value is unknown.
	Registry Registry
	// Services holds the effective Services of the rules. Nil means that nobody
	// looked; a Service that does not exist is missing from a map that is not
	// nil.
	Services map[types.NamespacedName]Service
	// Namespaces holds the namespace of the APIRule and those of the effective
	// Services, by name; nil means that nobody looked.
	Namespaces map[string]Namespace
	// Neighbours holds, by effective Service, what else acts on the workload
	// behind it: for each authorizer one object, never the APIRule itself.
	Neighbours map[types.NamespacedName][]Neighbour
	// Widenings has, by effective Service, what lets the ingress gateway in beside the
	// policies that Kyma makes; nil if nothing does or nobody looked.
	Widenings map[types.NamespacedName][]Widening
	// HostsTaken has, by a host as the APIRule writes it, another object that has the host
	// too, "VirtualService shop/web"; nil if none is known.
	HostsTaken map[string]string
	// Backends holds what is known about the Services of authorizers, by
	// authorizer; one that is missing is not known.
	Backends map[string]Backend
	// Partial is true if there may be more than is known, as where only files were
	// read: then nothing is concluded from what is missing.
	Partial bool
	// Policies are all ExtAuthPolicies, sorted by name; nil if there are none or
	// nobody looked.
	Policies []ClusterPolicy
	// GatewayDomains holds the domain under which a Gateway, as namespace/name,
	// serves short hosts; one that is missing serves none.
	GatewayDomains map[string]string
	// Restricted has the effective Services whose callers inside the mesh are kept out
	// already, whatever the APIRule says; nil if there are none or nobody looked.
	Restricted map[types.NamespacedName]bool
	// CallersAllowed has the effective Services for which our AuthorizationPolicy lets
	// callers inside the mesh in; nil if there are none or nobody looked.
	CallersAllowed map[types.NamespacedName]bool
	// Now is the time at which exemptions are looked at.
	Now time.Time
}

// Service is what the policy needs of a Kubernetes Service.
type Service struct {
	// Annotations under our prefix; nil if none.
	Annotations map[string]string
	// Selector selects the Pods; nil for a Service without selector.
	Selector Selector
	// Ports are the port numbers, in the order of the Service.
	Ports []int32
}

// SharesWorkload is true if two Services of one namespace select the same Pods,
// or one of them some of the other's: one selector is a subset of the other.
func (s Service) SharesWorkload(other Service) bool {
	return len(s.Selector) > 0 && len(other.Selector) > 0 &&
		(s.Selector.Contains(other.Selector) || other.Selector.Contains(s.Selector))
}

// Namespace is what the policy needs of a Namespace.
type Namespace struct {
	// Annotations under our prefix; nil if none.
	Annotations map[string]string
	// Labels are all labels.
	Labels map[string]string
}

// Sidecars is true if Pods of the namespace get an Istio sidecar, as far as the
// labels of the namespace tell.
func (n Namespace) Sidecars() bool {
	if n.Labels["istio-injection"] != "" {
		return n.Labels["istio-injection"] == "enabled"
	}
	return n.Labels["istio.io/rev"] != ""
}

// Neighbour is an object that makes istiod protect the workload behind a
// Service of somebody else.
type Neighbour struct {
	// Object names it in a sentence: "APIRule shop/cart".
	Object string
	// Authorizer is the CUSTOM provider that it brings; "" for a jwt.
	Authorizer string
	// Foreign is true for an APIRule in another namespace than the Service, if there is
	// no object in the Service's own that brings the same authorizer.
	Foreign bool
	// Left is true for what Kyma made of an earlier version of the APIRule and did not
	// replace: it is in force, and the APIRule says something else.
	Left bool
}

// Backend is what is known about the Service of an authorizer.
type Backend struct {
	Service types.NamespacedName
	// Exists is true if the Service does.
	Exists bool
	// HasPort is true if the Service has the port of the authorizer.
	HasPort bool
	// Ready is true if an endpoint of the Service is ready.
	Ready bool
	// Holes are sentences about known holes of the oauth2-proxy behind it; nil if there
	// are none or nobody looked.
	Holes []string
}

// Fault says in a sentence why the Service cannot answer; "" if it can.
func (b Backend) Fault() string {
	switch {
	case !b.Exists:
		return "there is no Service " + b.Service.String()
	case !b.HasPort:
		return "the Service " + b.Service.String() + " lacks the port"
	case !b.Ready:
		return "the Service " + b.Service.String() + " has no ready endpoint"
	}
	return ""
}

// Settings are the choices of whoever runs this project. They hold for all
// objects alike.
type Settings struct {
	// DefaultAuthorizers are injected where nobody names any. Never empty.
	DefaultAuthorizers []string
	// ExcludedNamespaces are left alone altogether; nil excludes none.
	ExcludedNamespaces map[string]bool
	// UnknownRegistry is the severity of [RegistryUnknown].
	UnknownRegistry Severity
	// SeveralAuthorizers is true if istiod runs with
	// PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS (Istio 1.30 and later), which
	// Kyma does not set; then [AuthorizerConflict] is a warning.
	SeveralAuthorizers bool
	// InternalCallers is true if the annotation internal-callers has an effect: if
	// the controller runs that makes an AuthorizationPolicy of it.
	InternalCallers bool
}

// DefaultAuthorizer is the authorizer that is injected by default, and the name
// under which the bootstrap job registers oauth2-proxy.
const DefaultAuthorizer = "oauth2-proxy"

// DefaultSettings returns the settings of a configuration that says nothing.
func DefaultSettings() Settings {
	return Settings{DefaultAuthorizers: []string{DefaultAuthorizer}, UnknownRegistry: Deny}
}

// SystemNamespaces are those whose APIRules are nobody's business here: the
// cluster's own, Kyma's and Istio's. Every front end excludes them.
func SystemNamespaces() []string {
	return []string{"istio-system", "kube-node-lease", "kube-public", "kube-system", "kyma-system"}
}
