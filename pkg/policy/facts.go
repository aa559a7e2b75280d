// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
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
}

// Service is what the policy needs of a Kubernetes Service.
type Service struct {
	// Annotations under our prefix; nil if none.
	Annotations map[string]string
}

// Namespace is what the policy needs of a Namespace.
type Namespace struct {
	// Annotations under our prefix; nil if none.
	Annotations map[string]string
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
}

// DefaultAuthorizer is the authorizer that is injected by default, and the name
// under which the bootstrap job registers oauth2-proxy.
const DefaultAuthorizer = "oauth2-proxy"

// DefaultSettings returns the settings of a configuration that says nothing.
func DefaultSettings() Settings {
	return Settings{DefaultAuthorizers: []string{DefaultAuthorizer}, UnknownRegistry: Deny}
}
