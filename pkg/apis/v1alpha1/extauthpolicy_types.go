// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ExtAuthPolicy says which exposed hosts must be protected, by what, and what
// happens to an APIRule that is not. It holds for the whole cluster, for every
// APIRule that spec.match matches. Its status tells who complies.
//
// An APIRule that several policies match has to satisfy all of them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=extauth-guard,shortName=eap
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.matched`
// +kubebuilder:printcolumn:name="Violating",type=integer,JSONPath=`.status.violating`
// +kubebuilder:printcolumn:name="NotEnforced",type=integer,JSONPath=`.status.notEnforced`
// +kubebuilder:printcolumn:name="Blocked",type=integer,JSONPath=`.status.blocked`
// +kubebuilder:printcolumn:name="Exempt",type=integer,JSONPath=`.status.exempt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ExtAuthPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What is required of which APIRules.
	// +required
	Spec ExtAuthPolicySpec `json:"spec"`
	// What the audit found; written by extauth-guard.
	// +optional
	Status ExtAuthPolicyStatus `json:"status,omitempty"`
}

// ExtAuthPolicyList is a list of ExtAuthPolicies.
//
// +kubebuilder:object:root=true
type ExtAuthPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExtAuthPolicy `json:"items"`
}

// Mode says what happens to an APIRule that lacks what a policy requires.
//
// +kubebuilder:validation:Enum=Enforce;Warn;Audit
type Mode string

// The modes, strictest first.
const (
	// Enforce refuses an APIRule that introduces a violation.
	Enforce Mode = "Enforce"
	// Warn admits it and warns whoever applies it.
	Warn Mode = "Warn"
	// Audit admits it silently; only the status and the reports show it.
	Audit Mode = "Audit"
)

// OptOut says whether authors may write the annotation inject: "false".
//
// +kubebuilder:validation:Enum=Allowed;Forbidden
type OptOut string

// The choices of OptOut.
const (
	// Allowed lets an author keep extauth-guard from injecting.
	Allowed OptOut = "Allowed"
	// Forbidden refuses the annotation inject: "false".
	Forbidden OptOut = "Forbidden"
)

// InternalCallers says whether authors may let callers inside the mesh past an
// APIRule.
//
// +kubebuilder:validation:Enum=Allowed;Forbidden
type InternalCallers string

// InternalCallersForbidden is the stricter choice of InternalCallers.
const InternalCallersForbidden InternalCallers = "Forbidden"

// CrossNamespace says whether an APIRule may expose a Service of another namespace.
//
// +kubebuilder:validation:Enum=Allowed;Consented
type CrossNamespace string

// The choices of CrossNamespace.
const (
	// CrossNamespaceAllowed asks nobody.
	CrossNamespaceAllowed CrossNamespace = "Allowed"
	// CrossNamespaceConsented wants the Service to name the namespace of the APIRule.
	CrossNamespaceConsented CrossNamespace = "Consented"
)

// AuthorizerName is the name of an authorizer in the Istio CR: a DNS label,
// because istiod takes no other.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="an authorizer's name has lower-case letters, digits and '-' only, and begins and ends with a letter or digit"
type AuthorizerName string

// HostPattern is a host: exact, short, or with a leading "*.".
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:XValidation:rule="self.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="a host is a name such as shop.example.com, a pattern such as *.example.com, or the short name shop"
type HostPattern string

// GatewayName is a Gateway as namespace/name.
//
// +kubebuilder:validation:MaxLength=127
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",message="a gateway is written as namespace/name, for example kyma-system/kyma-gateway"
type GatewayName string

// Strategy is an access strategy that injection may replace.
//
// +kubebuilder:validation:Enum=noAuth;jwt
type Strategy string

// The strategies that may be replaced.
const (
	// NoAuth is "noAuth: true".
	NoAuth Strategy = "noAuth"
	// JWT is Kyma's own JWT check; it becomes a restriction of extAuth.
	JWT Strategy = "jwt"
)

// ExtAuthPolicySpec says what is required of which APIRules.
//
// +kubebuilder:validation:XValidation:rule="has(self.require) || has(self.inject) || (has(self.optOut) && self.optOut == 'Forbidden') || (has(self.internalCallers) && self.internalCallers == 'Forbidden') || (has(self.crossNamespace) && self.crossNamespace == 'Consented')",message="a policy has to say something: set require, inject, optOut or internalCallers to Forbidden, or crossNamespace to Consented"
// +kubebuilder:validation:XValidation:rule="!has(self.inject) || !has(self.inject.authorizers) || !has(self.require) || !has(self.require.authorizers) || self.inject.authorizers.exists(a, a in self.require.authorizers)",message="inject would make rules that require refuses: name one of require.authorizers in inject.authorizers"
// +kubebuilder:validation:XValidation:rule="!has(self.exemptions) || has(self.require) || (has(self.optOut) && self.optOut == 'Forbidden') || (has(self.crossNamespace) && self.crossNamespace == 'Consented')",message="exemptions are from require, from optOut Forbidden or from crossNamespace Consented: set one of them"
type ExtAuthPolicySpec struct {
	// What happens to an APIRule that lacks what require asks for. Enforce
	// refuses what introduces the violation, Warn warns whoever applies it, and
	// Audit only reports it. APIRules that were stored before are never broken:
	// they appear in status.violations. Begin with Audit.
	// +required
	Mode Mode `json:"mode"`
	// Which APIRules the policy is about. All parts that are given must match;
	// without any the policy is about every APIRule.
	// +optional
	Match Match `json:"match,omitempty"`
	// What every matching rule needs. Absent: nothing is required, and the policy
	// only injects or forbids to opt out. Present but empty: any registered
	// authorizer.
	// +optional
	Require *Require `json:"require,omitempty"`
	// Protects matching rules at admission for authors who said nothing: the
	// annotations of APIRule, Service and Namespace are all nearer and win. Of
	// several policies with inject the first by name counts.
	// +optional
	Inject *Inject `json:"inject,omitempty"`
	// Whether the annotation inject: "false" is allowed on a matching APIRule, its
	// Service and its Namespace. Forbidden refuses it, whatever the mode.
	// +kubebuilder:default=Allowed
	// +optional
	OptOut OptOut `json:"optOut,omitempty"`
	// Whether the annotation internal-callers is allowed on the Service of a
	// matching APIRule, and on its Namespace. Forbidden refuses it, whatever the
	// mode, and takes away the AuthorizationPolicy that was made for it.
	// +kubebuilder:default=Allowed
	// +optional
	InternalCallers InternalCallers `json:"internalCallers,omitempty"`
	// Whether an APIRule may expose a Service of another namespace. Consented: only
	// if that Service has the annotation extauth-guard.io/allow-from with the
	// namespace of the APIRule; what happens otherwise is for the mode to say.
	// +kubebuilder:default=Allowed
	// +optional
	CrossNamespace CrossNamespace `json:"crossNamespace,omitempty"`
	// APIRules, or some of their rules, that are excused for a time.
	// +kubebuilder:validation:MaxItems=200
	// +listType=atomic
	// +optional
	Exemptions []Exemption `json:"exemptions,omitempty"`
}

// Match says which APIRules a policy is about.
type Match struct {
	// The labels of the APIRule's namespace.
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="an operator is one of In, NotIn, Exists, DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))",message="In and NotIn need values, Exists and DoesNotExist have none"
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// Hosts of which the APIRule serves at least one: exact ("shop.example.com"),
	// every host below a domain ("*.example.com"), or the short name ("shop")
	// under the domain of the APIRule's gateway. An APIRule with a short host
	// matches by its full name; one with a wildcard host matches every pattern
	// that it overlaps.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Hosts []HostPattern `json:"hosts,omitempty"`
	// Gateways of which the APIRule uses one, as namespace/name.
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Gateways []GatewayName `json:"gateways,omitempty"`
}

// Require says what a rule needs.
type Require struct {
	// The rule needs one of these authorizers. Empty: any authorizer that is
	// registered in the Istio CR.
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	Authorizers []AuthorizerName `json:"authorizers,omitempty"`
	// A rule with the strategy jwt counts as protected, too, whatever the issuer of
	// the tokens: its author chooses whom he believes. Name the issuers in jwt
	// instead.
	// +optional
	AllowJWT bool `json:"allowJWT,omitempty"`
	// A rule with the strategy jwt counts as protected, too, if it takes no other
	// tokens than these.
	// +optional
	JWT *RequireJWT `json:"jwt,omitempty"`
}

// RequireJWT says whose tokens protect a rule.
type RequireJWT struct {
	// The issuers whose tokens count, exactly as the APIRule writes them.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +required
	Issuers []IssuerURL `json:"issuers"`
	// Where the keys of the tokens may be. Empty: at the host of the issuer, because
	// whoever chooses the keys can sign a token of any issuer.
	// +kubebuilder:validation:MaxItems=32
	// +listType=set
	// +optional
	JWKSURIs []IssuerURL `json:"jwksUris,omitempty"`
}

// IssuerURL is the URL of an issuer or of its keys.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:XValidation:rule="self.startsWith('https://') || self.startsWith('http://')",message="must be a URL that begins with https://"
type IssuerURL string

// Inject says what is injected into rules that nobody said anything about.
type Inject struct {
	// The authorizers to inject. Empty: the configured default, oauth2-proxy.
	// +kubebuilder:validation:MaxItems=8
	// +listType=set
	// +optional
	Authorizers []AuthorizerName `json:"authorizers,omitempty"`
	// Which existing strategies injection may replace. Empty: none, so only rules
	// without a strategy are injected.
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Replace []Strategy `json:"replace,omitempty"`
}

// Exemption excuses rules of one APIRule until a day.
type Exemption struct {
	// The namespace of the APIRule.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace"
	// +required
	Namespace string `json:"namespace"`
	// The name of the APIRule.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",message="must be the name of an APIRule"
	// +required
	Name string `json:"name"`
	// The paths that are excused, with the operators of an APIRule's paths. A rule
	// is exempt if one of these covers its whole path. Empty: every rule.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^/`
	// +listType=set
	// +optional
	Paths []string `json:"paths,omitempty"`
	// Why.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="say why"
	// +required
	Reason string `json:"reason"`
	// Who answers for it: a team or a person.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="say who answers for it"
	// +required
	Owner string `json:"owner"`
	// The last day on which it holds, in UTC, as YYYY-MM-DD. After that day it is
	// no exemption.
	// +kubebuilder:validation:Format=date
	// +required
	Expires string `json:"expires"`
}

// ExtAuthPolicyStatus tells what the audit found. APIRules are counted once, also
// if several of their rules violate: matched is the sum of compliant, exempt and
// violating.
type ExtAuthPolicyStatus struct {
	// The generation of the policy that the rest of the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Ready is True if the policy is in effect as it stands.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// How many APIRules the policy matches.
	// +optional
	Matched int32 `json:"matched"`
	// How many of them have what is required.
	// +optional
	Compliant int32 `json:"compliant"`
	// How many of them do not, but are exempt in all rules that lack it.
	// +optional
	Exempt int32 `json:"exempt"`
	// How many of them violate the policy.
	// +optional
	Violating int32 `json:"violating"`
	// How many APIRules it would match besides, if their namespaces were not excluded by
	// the configuration. Nobody looks what they lack.
	// +optional
	Excluded int32 `json:"excluded"`
	// How many of the matched are declared as protected, while nobody asks.
	// +optional
	NotEnforced int32 `json:"notEnforced"`
	// How many of them answer every request with 403.
	// +optional
	Blocked int32 `json:"blocked"`
	// The first 20 violations, in the order of namespace, name and rule.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +optional
	Violations []Violation `json:"violations,omitempty"`
	// How many hosts are exposed past every APIRule: by a VirtualService that
	// somebody wrote by hand on a gateway of Kyma, and that the policy matches.
	// +optional
	Unguarded int32 `json:"unguarded"`
	// The first 20 of them, in the order of namespace, name and host.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +optional
	UnguardedHosts []UnguardedHost `json:"unguardedHosts,omitempty"`
	// What the API server's own admission policies have to know of the cluster to hold
	// this policy; the chart's guarantee makes use of it.
	// +optional
	Guarantee *Guarantee `json:"guarantee,omitempty"`
}

// Guarantee is what a policy depends on besides itself and the APIRule.
type Guarantee struct {
	// The Services of authorizers, as namespace/name:port. A rule in front of one has to
	// be open.
	// +kubebuilder:validation:MaxItems=1000
	// +listType=set
	// +optional
	Frontends []string `json:"frontends,omitempty"`
	// The domains under which Gateways serve short hosts, by the Gateway as
	// namespace/name. Only there if the policy selects hosts.
	// +kubebuilder:validation:MaxProperties=1000
	// +optional
	Domains map[string]string `json:"domains,omitempty"`
}

// Violation is one rule that lacks what a policy requires.
type Violation struct {
	// The namespace of the APIRule.
	Namespace string `json:"namespace"`
	// The name of the APIRule.
	Name string `json:"name"`
	// The index of the rule in spec.rules.
	Rule int32 `json:"rule"`
	// The code of the finding.
	Code string `json:"code"`
	// What is wrong and what to do.
	Message string `json:"message"`
}

// UnguardedHost is a host that no APIRule knows of.
type UnguardedHost struct {
	// The namespace of the VirtualService.
	Namespace string `json:"namespace"`
	// The name of the VirtualService.
	Name string `json:"name"`
	// The host.
	Host string `json:"host"`
	// The gateway, as namespace/name.
	Gateway string `json:"gateway"`
}
