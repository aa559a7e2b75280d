// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

// Text says in half a sentence why a rule, or a whole APIRule, is as it is.
func (r Reason) Text() string {
	switch r {
	case Deleting:
		return "it is being deleted"
	case LegacyObject:
		return "it was written as v1beta1 and has no rules that v2 could show"
	case ControllerOwned:
		return "another controller owns it and would undo every change"
	case NamespaceExcluded:
		return "the configuration excludes its namespace"
	case Injected:
		return "it gets authorizers"
	case AuthorizerFrontend:
		return "it exposes an authorizer itself, and asking that authorizer would loop"
	case NotRequested:
		return "nobody asked for injection, or the nearest annotation says no"
	case AlreadyProtected:
		return "it is protected already"
	case LeftOpen:
		return "it says \"noAuth: true\", which nobody allowed to replace"
	case MalformedRule:
		return "its access strategy is malformed, and the API server will refuse it"
	case AnnotationInvalid:
		return "what is asked for it cannot be read"
	}
	return string(r)
}
