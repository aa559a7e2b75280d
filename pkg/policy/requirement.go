// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/url"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// requirement is what a policy wants of a rule. Two policies with the same text
// want the same.
type requirement struct {
	authorizers []string // sorted; empty: any that is registered
	// anyJWT is true if a jwt counts as protection, whoever its issuer is.
	anyJWT bool
	// issuers are those whose tokens count as protection, sorted, and keys where
	// their keys may be, sorted; without keys they are at the host of the issuer.
	issuers, keys []string
	text          string
}

func newRequirement(require v1alpha1.Require) *requirement {
	wanted := &requirement{authorizers: textsOf(require.Authorizers), anyJWT: require.AllowJWT && require.JWT == nil}
	slices.Sort(wanted.authorizers)
	switch len(wanted.authorizers) {
	case 0:
		wanted.text = "a registered authorizer"
	case 1:
		wanted.text = "the authorizer " + wanted.authorizers[0]
	default:
		wanted.text = "one of the authorizers " + bound.List(wanted.authorizers)
	}
	if wanted.anyJWT {
		wanted.text += " or a jwt"
	}
	if require.JWT != nil {
		wanted.issuers, wanted.keys = textsOf(require.JWT.Issuers), textsOf(require.JWT.JWKSURIs)
		slices.Sort(wanted.issuers)
		slices.Sort(wanted.keys)
		wanted.text += " or a jwt of " + bound.List(wanted.issuers)
		if len(wanted.keys) > 0 {
			wanted.text += " with the keys at " + bound.List(wanted.keys)
		}
	}
	return wanted
}

// holds is true if the rule has what is required. A registry that is not known
// is no reason to call a rule with authorizers unprotected: that is another
// finding.
func (r requirement) holds(rule apirule.Rule, registry Registry) bool {
	if rule.Strategy == apirule.JWT {
		return r.anyJWT || r.believes(rule.Tokens)
	}
	for _, name := range rule.Authorizers {
		if len(r.authorizers) == 0 && (!registry.Known || registry.Has(name)) || slices.Contains(r.authorizers, name) {
			return true
		}
	}
	return false
}

// believes is true if every token that is taken is of an issuer that counts, and
// signed with a key of this issuer. One source that anybody can run opens the rule.
func (r requirement) believes(tokens []apirule.TokenSource) bool {
	return len(tokens) > 0 && !slices.ContainsFunc(tokens, func(source apirule.TokenSource) bool {
		if !slices.Contains(r.issuers, source.Issuer) {
			return true
		}
		if len(r.keys) > 0 {
			return !slices.Contains(r.keys, source.JWKSURI)
		}
		return !sameHost(source.Issuer, source.JWKSURI)
	})
}

// sameHost is true if two URLs have the same scheme, host and port.
func sameHost(a, b string) bool {
	first, err := url.Parse(a)
	if err != nil {
		return false
	}
	second, err := url.Parse(b)
	return err == nil && first.Host != "" && first.Scheme == second.Scheme && first.Host == second.Host && second.User == nil
}
