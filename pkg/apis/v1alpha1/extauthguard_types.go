// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GuardKind and GuardResource name the ExtAuthGuard. GuardName is the name of the one
// that counts; it has to be in the namespace of the installation.
const (
	GuardKind     = "ExtAuthGuard"
	GuardResource = "extauthguards"
	GuardName     = "default"
)

// ExtAuthGuard is the installation of extauth-guard as a module of Kyma: what its
// configuration file says and may change while it runs, and whether all of it works.
//
// Only the one with the name "default" in the namespace of the installation counts.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=extauth-guard,shortName=eag
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ExtAuthGuard struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What differs from the configuration file. It takes effect without a restart.
	// +optional
	Spec ExtAuthGuardSpec `json:"spec,omitempty"`
	// Whether the installation works; written by extauth-guard.
	// +optional
	Status ExtAuthGuardStatus `json:"status,omitempty"`
}

// ExtAuthGuardList is a list of ExtAuthGuards.
//
// +kubebuilder:object:root=true
type ExtAuthGuardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExtAuthGuard `json:"items"`
}

// ExtAuthGuardSpec says what differs from the configuration file.
type ExtAuthGuardSpec struct {
	// The choices that hold for all APIRules. What is not given is as the configuration
	// file says, which the values of the chart make.
	// +optional
	Policy GuardPolicy `json:"policy,omitempty"`
}

// NamespaceName is the name of a namespace.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a namespace's name has lower-case letters, digits and '-' only, and begins and ends with a letter or digit"
type NamespaceName string

// GuardPolicy has the fields of policy in the configuration file, by their names.
type GuardPolicy struct {
	// What is injected where nobody names any authorizer.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	DefaultAuthorizers []AuthorizerName `json:"defaultAuthorizers,omitempty"`
	// Namespaces that are left alone, besides those of the system and of the
	// configuration file: the API server does not ask about the latter.
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	ExcludedNamespaces []NamespaceName `json:"excludedNamespaces,omitempty"`
	// What happens to an APIRule with authorizers while the Istio CR cannot be read:
	// Deny (503, try again) or Warn.
	// +kubebuilder:validation:Enum=Deny;Warn
	// +optional
	UnknownRegistry string `json:"unknownRegistry,omitempty"`
	// What happens to an APIRule that would give a workload a second authorizer: Deny,
	// or Warn where istiod runs with PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS.
	// +kubebuilder:validation:Enum=Deny;Warn
	// +optional
	SeveralAuthorizers string `json:"severalAuthorizers,omitempty"`
	// Which objects of others answers and events name: those of one's own namespace, or
	// all.
	// +kubebuilder:validation:Enum=OwnNamespace;Full
	// +optional
	Names string `json:"names,omitempty"`
}

// State is what Kyma's dashboard and CLI show of a module.
//
// +kubebuilder:validation:Enum=Ready;Processing;Warning;Error;Deleting
type State string

// The states.
const (
	// StateReady: every condition is True.
	StateReady State = "Ready"
	// StateProcessing: something is not known yet, a moment after the start.
	StateProcessing State = "Processing"
	// StateWarning: it works, and somebody has to look at something; or something is not
	// known for a while.
	StateWarning State = "Warning"
	// StateError: something does not work.
	StateError State = "Error"
	// StateDeleting: the ExtAuthGuard is about to go.
	StateDeleting State = "Deleting"
)

// ExtAuthGuardStatus tells whether the installation works.
type ExtAuthGuardStatus struct {
	// The worst of the conditions, in one word.
	// +optional
	State State `json:"state,omitempty"`
	// The generation of the spec that the rest of the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Ready says why the state is what it is. The others are SettingsApplied,
	// AdmissionReachable, CertificateValid, RegistryKnown, AuthorizersReady and Covered.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// The last valid spec.policy. It is in force while spec.policy is not valid, also for
	// a replica that starts meanwhile.
	// +optional
	Policy *GuardPolicy `json:"policy,omitempty"`
}
