// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "github.com/extauth-guard/extauth-guard/pkg/annotation"

// Reference is what the reference page says about a code.
type Reference struct {
	Code Code
	// Severity is the usual one; settings and policies may choose another.
	Severity Severity
	// Cause says in a sentence when there is such a finding.
	Cause string
	// Fix says in a sentence what to do.
	Fix string
}

// References returns all codes in the order of the reference page. The caller
// owns the slice.
func References() []Reference {
	return []Reference{
		{InvalidAnnotation, Deny, "An annotation of this project has an unknown key or a value that cannot be read.", "Write one of the known keys with a value that the message shows."},
		{AuthorizerNotRegistered, Deny, "A rule names an authorizer that the active Istio CR does not have; every request would get 403.", "Name a registered authorizer, or add it to spec.config.authorizers of the Istio CR first."},
		{AuthorizerConflict, Deny, "The workload behind a rule would get more than one authorizer; istiod then denies every request to all of them.", "Use one authorizer for all rules that lead to the same Pods."},
		{InjectionMissing, Deny, "Injection was asked for, yet the rule has no authorizer: the mutating webhook did not run.", "Apply the object again once the webhook runs."},
		{LimitExceeded, Deny, "An APIRule has more rules, or a rule more authorizers, than are looked at.", "Split the APIRule."},
		{PolicyViolation, Deny, "An ExtAuthPolicy requires what the rule lacks.", "Protect the rule as the policy says, or ask its owners for an exemption."},
		{OptOutForbidden, Deny, "An object refuses injection where an ExtAuthPolicy forbids that.", "Remove the annotation, or ask the owners of the policy for an exemption."},
		{InternalCallersForbidden, Deny, "A Service or a Namespace lets callers inside the mesh in where an ExtAuthPolicy forbids that.", "Remove the annotation, or ask the owners of the policy to allow it."},
		{ForeignServiceOpen, Deny, "A rule exposes a Service of another namespace, which asks for protection, without authorizers.", "Name the authorizers in the rule, or have the owner of the Service allow replacing what the rule has."},
		{AuthorizerInUse, Deny, "A change of the Istio CR takes away an authorizer that APIRules use.", "Move the APIRules to another authorizer first."},
		{AuthorizerDuplicate, Deny, "Two authorizers of the Istio CR have one name; the Istio module stops reconciling.", "Choose another name."},
		{AuthorizerInvalid, Deny, "An authorizer of the Istio CR has a value that the mesh does not take; every request would get 403.", "Correct the value as the message says."},
		{AuthorizerWidened, Warn, "An authorizer that APIRules use gets another Service, port or pathPrefix: somebody else decides about their requests.", "Make sure that it refuses what the earlier one refused, or register it under a new name."},
		{AuthorizerOpenPaths, Warn, "An authorizer has no pathPrefix; an oauth2-proxy then answers its own paths of every protected host for everybody.", "Set its pathPrefix to \"/verify?original=\"."},
		{AuthorizerUnfit, Warn, "The entry of an authorizer does not fit the product that it looks like: another endpoint, a header that is missing, or gRPC only.", "Take the entry that \"kubectl extauth register --profile\" prints."},
		{IdentityHeaderSpoofable, Warn, "An authorizer may set an identity header that clients can send themselves, and nothing is known to keep it out.", "Refuse requests with the header at the ingress gateway, as the bootstrap job does, or take it out of headers.toUpstream.onAllow."},
		{AuthorizerNotEffective, Warn, "An authorizer is registered but not in force.", "Wait until the Istio module has applied the Istio CR, or correct what its status says."},
		{AuthorizerUnready, Warn, "The Service of an authorizer is missing, lacks its port or has no ready endpoint; every request gets 403.", "Start the authorizer, or correct its entry in the Istio CR."},
		{AuthorizerVulnerable, Warn, "The authorizer is an oauth2-proxy of a version with a known hole, and its flags open it.", "Use the version that the message names, or remove the flag."},
		{RuleLeftOpen, Warn, "Injection was asked for, but the rule says \"noAuth: true\" and stays open.", "Remove noAuth, or allow to replace it by annotation."},
		{RuleShadowed, Warn, "An earlier rule without authorization matches everything that this one does.", "Move the protected rule in front, or narrow the open one."},
		{ServiceNotFound, Warn, "The Service of a protected rule does not exist.", "Create the Service."},
		{ServiceWithoutSelector, Warn, "The Service of a protected rule has no selector, so there are no Pods to protect.", "Give the Service a selector."},
		{SidecarMissing, Warn, "The Pods of a protected rule get no Istio sidecar, and nobody else asks the authorizer.", "Label the namespace istio-injection=enabled and restart the Pods."},
		{ProtectionWidened, Warn, "An AuthorizationPolicy of somebody else lets requests in that a protected rule would have an authorizer asked about.", "Have the policy name who may call, without the ingress gateway, or replace it by the annotation " + annotation.InternalCallers + " of the Service."},
		{HostTaken, Warn, "Another APIRule, or a VirtualService of somebody else, has the host of an APIRule.", "Give each a host of its own, or put the rules into one APIRule."},
		{InternalTrafficBlocked, Warn, "The first rule that leads to a workload makes Istio deny callers inside the cluster.", "Name them in the annotation " + annotation.InternalCallers + " of the Service, or allow them by an AuthorizationPolicy, if there are any."},
		{LegacyVersion, Warn, "An APIRule is written as v1beta1, which Kyma no longer reconciles.", "Run \"kubectl extauth migrate\"."},
		{RegistryUnknown, Deny, "It is not known which authorizers are registered.", "Try again when the Istio CR can be read; offline, give it with --istio-cr."},
	}
}
