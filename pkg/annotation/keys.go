// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package annotation is the only place that spells the annotation keys this
// project reads from, or writes to, objects it does not own.
//
// Keys are constants. Values are parsed here too, once, into an [Intent], so no
// other package ever handles a raw annotation string. No decision reads a key
// that the project itself writes.
package annotation

import (
	"sort"
	"strings"
)

// Prefix starts every key of the project. A key that starts with it and is not
// listed for the kind of its object is an error, because a typo in a key would
// otherwise read as "not asked for".
const Prefix = "extauth-guard.io/"

// Keys that authors write on an APIRule, on the Service behind it, or on its
// Namespace. Each is resolved on its own, nearest first.
const (
	// Inject asks for ("true") or forbids ("false") injection. Stable.
	Inject = Prefix + "inject"
	// Authorizers is a comma-separated list of authorizer names. Without
	// Inject on the same object it means Inject "true". Stable.
	Authorizers = Prefix + "authorizers"
	// Replace lists the existing access strategies, "noAuth", "jwt" or both,
	// that injection may replace. Absent everywhere: none. Stable.
	Replace = Prefix + "replace"
)

// InternalCallers is written on a Service, or on its Namespace: who inside the
// mesh may call although APIRules expose it. "*", or a comma-separated list of
// namespaces and namespace/serviceaccount. Stable.
const InternalCallers = Prefix + "internal-callers"

// AllowFrom is written on a Service: the namespaces whose APIRules may expose it,
// where an ExtAuthPolicy wants consent. Stable.
const AllowFrom = Prefix + "allow-from"

// Keys that authors write on a Service to have an APIRule made for it.
const (
	// Expose is the host under which the Service is exposed. Stable.
	Expose = Prefix + "expose"
	// ExposePort is the port of the Service; needed when it has several. Stable.
	ExposePort = Prefix + "expose-port"
	// ExposePath is the path of the only rule; default "/*". Stable.
	ExposePath = Prefix + "expose-path"
	// ExposeMethods is a comma-separated list of HTTP methods; default all. Stable.
	ExposeMethods = Prefix + "expose-methods"
	// ExposeGateway is the Gateway as namespace/name; default from the
	// configuration. Stable.
	ExposeGateway = Prefix + "expose-gateway"
)

// AllowRemoval is written by an operator on the Istio CR: a comma-separated
// list of authorizers that may be removed although APIRules use them, each with
// "@" and the time when that ends, or without for one update. Stable.
const AllowRemoval = Prefix + "allow-removal"

// Keys that the project writes and never reads for a decision.
const (
	// Injected, on an APIRule, records as JSON which rules were injected with
	// which authorizers and what asked for it; see [Provenance].
	Injected = Prefix + "injected"
	// ExposeStatus, on the APIRule of a Service, says in a sentence what became of
	// Expose. Earlier versions wrote it on the Service.
	ExposeStatus = Prefix + "expose-status"
)

// Kind is the kind of the object that carries annotations.
type Kind string

// The kinds on which keys of this project have a meaning.
const (
	APIRule   Kind = "APIRule"
	Service   Kind = "Service"
	Namespace Kind = "Namespace"
	Istio     Kind = "Istio"
)

var intentKeys = []string{Inject, Authorizers, Replace}

var keysByKind = map[Kind][]string{
	APIRule:   append([]string{Injected, ExposeStatus}, intentKeys...),
	Service:   append([]string{AllowFrom, Expose, ExposePort, ExposePath, ExposeMethods, ExposeGateway, ExposeStatus, InternalCallers}, intentKeys...),
	Namespace: append([]string{InternalCallers}, intentKeys...),
	Istio:     {AllowRemoval},
}

// Keys returns the keys that have a meaning on an object of kind, sorted. The
// caller owns the slice. An unknown kind has none.
func Keys(kind Kind) []string {
	keys := append([]string(nil), keysByKind[kind]...)
	sort.Strings(keys)
	return keys
}

// Ours is true if a key starts with [Prefix], in whatever case: the API server
// takes keys with upper-case prefixes, and one such is a typo too.
func Ours(key string) bool {
	return len(key) >= len(Prefix) && strings.EqualFold(key[:len(Prefix)], Prefix)
}

// Own returns the entries of annotations whose key is one of [Ours], in a
// new map, or nil when there are none. It is what a cache needs to keep.
func Own(annotations map[string]string) map[string]string {
	var own map[string]string
	for key, value := range annotations {
		if !Ours(key) {
			continue
		}
		if own == nil {
			own = make(map[string]string, 2)
		}
		own[key] = value
	}
	return own
}

// Of returns the annotations of a decoded object. What is not a string is left
// out, because the API server refuses it; under the keys of this project it is a
// text that [Parse] refuses.
func Of(object map[string]any) map[string]string {
	return textsIn(object, "annotations", text)
}

// LabelsOf returns the labels of a decoded object, in the same way.
func LabelsOf(object map[string]any) map[string]string {
	return textsIn(object, "labels", func(_ string, value any) (string, bool) {
		text, ok := value.(string)
		return text, ok
	})
}

func textsIn(object map[string]any, part string, read func(key string, value any) (string, bool)) map[string]string {
	metadata, _ := object["metadata"].(map[string]any)
	values, _ := metadata[part].(map[string]any)
	var texts map[string]string
	for key, value := range values {
		if text, ok := read(key, value); ok {
			if texts == nil {
				texts = make(map[string]string, len(values))
			}
			texts[key] = text
		}
	}
	return texts
}
