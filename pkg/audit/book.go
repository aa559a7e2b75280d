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

// verdict is what is kept of what the audit thinks of an APIRule. No sentence is:
// the few that are needed are made again, because there may be many. Nothing says
// which APIRule it is about, so that equal ones are one. It is never changed.
type verdict struct {
	hosts      int
	gateway    string
	protection Protection
	codes      []policy.Code // one for each finding
	standings  []standing    // one for each policy that matches
	// grave is what the events are about, by what makes it the same fault.
	grave []string
}

func (v *verdict) equal(other *verdict) bool {
	return v.hosts == other.hosts && v.gateway == other.gateway && v.protection == other.protection &&
		slices.Equal(v.codes, other.codes) && slices.Equal(v.standings, other.standings) && slices.Equal(v.grave, other.grave)
}

// standing is how an APIRule stands to one policy.
type standing struct {
	policy string
	state  policy.State
}

// isGrave is true for violations of policies, and for what would be refused at
// admission.
func isGrave(finding policy.Finding) bool {
	return finding.Severity == policy.Deny || ofPolicy(finding.Code)
}

func faultOf(finding policy.Finding) string {
	return string(finding.Code) + " " + finding.Err.Field + " " + finding.Subject
}

func ofPolicy(code policy.Code) bool {
	return code == policy.PolicyViolation || code == policy.OptOutForbidden
}

// book holds the verdicts on all APIRules. It has no client and no lock.
type book struct {
	world    *registry.World
	settings policy.Settings
	verdicts map[types.NamespacedName]*verdict
	// order has the names in verdicts in their order; nil if it has to be made.
	order []types.NamespacedName
	// recent are some verdicts that were made lately, each another one.
	recent []*verdict
}

func newBook(world *registry.World, settings policy.Settings) *book {
	return &book{world: world, settings: settings, verdicts: map[types.NamespacedName]*verdict{}}
}

// outcome is what came of looking at one APIRule.
type outcome struct {
	name types.NamespacedName
	uid  types.UID // "" if the APIRule is gone
	// before and after are nil where the APIRule was not or is not there.
	before, after *verdict
	// grave are the findings that after.grave is about.
	grave []policy.Finding
}

// examine makes a new verdict on an APIRule.
func (b *book) examine(ctx context.Context, now time.Time, name types.NamespacedName) outcome {
	result := outcome{name: name, before: b.verdicts[name]}
	view, exists := b.world.APIRule(name)
	if !exists {
		if result.before != nil {
			delete(b.verdicts, name)
			b.order = nil
		}
		return result
	}
	facts := b.facts(ctx, view, now)
	after := &verdict{hosts: len(view.Hosts), gateway: view.Gateway, protection: protectionOf(view)}
	for _, one := range policy.Assess(view, facts, b.settings) {
		after.standings = append(after.standings, standing{one.Policy, one.State})
	}
	for _, one := range b.findings(view, facts) {
		after.codes = append(after.codes, one.Code)
		if !isGrave(one) {
			continue
		}
		after.grave = append(after.grave, faultOf(one))
		result.grave = append(result.grave, one)
	}
	after = b.shared(after)
	b.verdicts[name] = after
	if result.before == nil {
		b.order = nil
	}
	result.uid, result.after = view.UID, after
	return result
}

// maxRecent is how many verdicts a new one is compared with.
const maxRecent = 8

// shared returns an equal verdict that is known, or else the given one. Most
// verdicts of a cluster are alike.
func (b *book) shared(one *verdict) *verdict {
	for _, known := range b.recent {
		if known.equal(one) {
			return known
		}
	}
	if len(b.recent) == maxRecent {
		b.recent = slices.Delete(b.recent, 0, 1)
	}
	b.recent = append(b.recent, one)
	return one
}

func (b *book) facts(ctx context.Context, view apirule.View, now time.Time) policy.Facts {
	facts := b.world.Facts(ctx, view)
	facts.Now = now
	return facts
}

// findings returns what is wrong with an APIRule, without what is worth saying
// only once.
func (b *book) findings(view apirule.View, facts policy.Facts) []policy.Finding {
	return slices.DeleteFunc(policy.Check(view, facts, b.settings), func(one policy.Finding) bool { return one.Once })
}

// sentences makes the findings on an APIRule again.
func (b *book) sentences(ctx context.Context, now time.Time, name types.NamespacedName) []policy.Finding {
	view, exists := b.world.APIRule(name)
	if !exists {
		return nil
	}
	return b.findings(view, b.facts(ctx, view, now))
}

// assess tells again how an APIRule stands to the policies.
func (b *book) assess(ctx context.Context, now time.Time, name types.NamespacedName) []policy.Assessment {
	view, exists := b.world.APIRule(name)
	if !exists {
		return nil
	}
	return policy.Assess(view, b.facts(ctx, view, now), b.settings)
}

// all calls yield with every verdict, in the order of the names.
func (b *book) all(yield func(types.NamespacedName, *verdict)) {
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
		yield(name, b.verdicts[name])
	}
}
