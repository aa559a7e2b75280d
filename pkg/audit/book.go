// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

// Protection says how an exposed host is protected.
type Protection string

// The protections.
const (
	// ExtAuth: every rule has authorizers.
	ExtAuth Protection = "extauth"
	// JWT: every rule is protected, at least one by a jwt.
	JWT Protection = "jwt"
	// Partial: some rules are protected and some are open.
	Partial Protection = "partial"
	// Open: no rule is protected.
	Open Protection = "open"
	// Unguarded: no APIRule serves the host, but a VirtualService does.
	Unguarded Protection = "unguarded"
	// Unknown: the rules cannot be read, as in an APIRule of version v1beta1.
	Unknown Protection = "unknown"
)

func protectionOf(view apirule.View) Protection {
	var open, jwt, ext int
	for _, rule := range view.Rules {
		switch {
		case rule.Strategy == apirule.JWT:
			jwt++
		case rule.Protected():
			ext++
		case rule.Unprotected():
			open++
		}
	}
	switch {
	case open+jwt+ext == 0:
		return Unknown
	case open > 0 && jwt+ext > 0:
		return Partial
	case open > 0:
		return Open
	case jwt > 0:
		return JWT
	}
	return ExtAuth
}

// verdict is what the audit thinks of one APIRule.
type verdict struct {
	name        types.NamespacedName
	uid         types.UID
	hosts       int
	gateway     string
	protection  Protection
	findings    []policy.Finding // without those worth saying only once
	assessments []policy.Assessment
}

// grave returns what the events are about, by what makes it the same fault:
// violations of policies, and what would be refused at admission.
func (v *verdict) grave() map[string]policy.Finding {
	grave := map[string]policy.Finding{}
	if v == nil {
		return grave
	}
	for _, one := range v.findings {
		if one.Severity == policy.Deny || ofPolicy(one.Code) {
			grave[string(one.Code)+" "+one.Err.Field+" "+one.Subject] = one
		}
	}
	return grave
}

func ofPolicy(code policy.Code) bool {
	return code == policy.PolicyViolation || code == policy.OptOutForbidden
}

// book holds the verdicts on all APIRules. It has no client and no lock.
type book struct {
	verdicts map[types.NamespacedName]*verdict
	// order has the names in verdicts in their order; nil if it has to be made.
	order []types.NamespacedName
}

func newBook() *book {
	return &book{verdicts: map[types.NamespacedName]*verdict{}}
}

// examine makes a new verdict on an APIRule, and returns it with the old one;
// either is nil where the APIRule was not or is not there.
func (b *book) examine(ctx context.Context, world *registry.World, settings policy.Settings, now time.Time, name types.NamespacedName) (before, after *verdict) {
	before = b.verdicts[name]
	view, exists := world.APIRule(name)
	if !exists {
		if before != nil {
			delete(b.verdicts, name)
			b.order = nil
		}
		return before, nil
	}
	facts := world.Facts(ctx, view)
	facts.Now = now
	after = &verdict{
		name: name, uid: view.UID, hosts: len(view.Hosts), gateway: view.Gateway, protection: protectionOf(view),
		findings:    slices.DeleteFunc(policy.Check(view, facts, settings), func(one policy.Finding) bool { return one.Once }),
		assessments: policy.Assess(view, facts, settings),
	}
	b.verdicts[name] = after
	if before == nil {
		b.order = nil
	}
	return before, after
}

// all calls yield with every verdict, in the order of the names.
func (b *book) all(yield func(*verdict)) {
	if b.order == nil {
		b.order = make([]types.NamespacedName, 0, len(b.verdicts))
		for name := range b.verdicts {
			b.order = append(b.order, name)
		}
		slices.SortFunc(b.order, func(a, b types.NamespacedName) int {
			return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
	}
	for _, name := range b.order {
		yield(b.verdicts[name])
	}
}
