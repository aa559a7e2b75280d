// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// AuthorizationPolicy is one that matters to a verdict.
type AuthorizationPolicy struct {
	// Owner is the APIRule that Kyma made it of; the zero value for one by hand.
	Owner types.NamespacedName
	// Selector selects the Pods; empty for all Pods of the namespace.
	Selector policy.Selector
	// Provider is the name of the authorizer that a policy with the action CUSTOM has
	// asked; "" for every other one.
	Provider string
	// Restricts is true if it keeps out whom no policy lets in.
	Restricts bool
	// Allows is what it lets in of what the ingress gateway passes on.
	Allows []istio.Allow
}

// AuthorizationPolicyOf returns what is kept of an AuthorizationPolicy; nil if that is
// nothing.
func AuthorizationPolicyOf(parsed istio.AuthorizationPolicy) *AuthorizationPolicy {
	switch {
	case parsed.Kyma && parsed.Asks() && parsed.Owner.Name != "" && parsed.Owner.Namespace != "":
		return &AuthorizationPolicy{Owner: parsed.Owner, Selector: policy.SelectorOf(parsed.Selector), Provider: parsed.Provider}
	case parsed.Kyma || !parsed.Asks() && !parsed.Restricts:
		return nil
	}
	return &AuthorizationPolicy{
		Selector: policy.SelectorOf(parsed.Selector), Provider: parsed.Provider, Restricts: parsed.Restricts, Allows: parsed.Allows,
	}
}

// SetAuthorizationPolicy adds or replaces an AuthorizationPolicy; nil removes it.
func (w *World) SetAuthorizationPolicy(name types.NamespacedName, known *AuthorizationPolicy) {
	if known == nil {
		w.DeleteAuthorizationPolicy(name)
		return
	}
	if known.Owner.Name != "" {
		w.setMade(name, *known)
		return
	}
	w.edit(edit{
		change: Change{Kind: AuthorizationPolicies, Name: name},
		same:   func() bool { return same(w.policies, name, *known) },
		apply: func() {
			w.dropAuthorizationPolicy(name)
			w.policies[name] = *known
			w.workloads.addPolicy(name, known.Selector)
		},
	})
}

// DeleteAuthorizationPolicy removes one; one that is not there is not an error.
func (w *World) DeleteAuthorizationPolicy(name types.NamespacedName) {
	w.edit(edit{
		change: Change{Kind: AuthorizationPolicies, Name: name},
		same:   func() bool { return absent(w.policies, name) && absent(w.made, name) },
		apply:  func() { w.dropAuthorizationPolicy(name) },
	})
}

func (w *World) dropAuthorizationPolicy(name types.NamespacedName) {
	w.dropMade(name)
	if known, exists := w.policies[name]; exists {
		w.workloads.removePolicy(name, known.Selector)
		delete(w.policies, name)
	}
}
