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
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// judged is what is kept of what the audit thinks of an APIRule. No sentence is:
// the few that are needed are made again, because there may be many. Nothing says
// which APIRule it is about, so that equal ones are one. It is never changed.
type judged struct {
	hosts     int
	gateway   string
	verdict   policy.Verdict
	codes     []policy.Code // one for each finding
	standings []standing    // one for each policy that matches
	// grave is what the events are about, by what makes it the same fault.
	grave []string
}

func (j *judged) equal(other *judged) bool {
	return j.hosts == other.hosts && j.gateway == other.gateway && j.verdict == other.verdict &&
		slices.Equal(j.codes, other.codes) && slices.Equal(j.standings, other.standings) && slices.Equal(j.grave, other.grave)
}

// standing is how an APIRule stands to one policy.
type standing struct {
	policy string
	state  policy.State
}

// isGrave is true for violations of policies, for what would be refused at admission, and
// for what somebody else's object did to an APIRule that was right.
func isGrave(finding policy.Finding) bool {
	return finding.Severity == policy.Deny || ofPolicy(finding.Code) || finding.Code == policy.ProtectionWidened || finding.Code == policy.HostTaken
}

func faultOf(finding policy.Finding) string {
	return string(finding.Code) + " " + finding.Err.Field + " " + finding.Subject
}

func ofPolicy(code policy.Code) bool {
	return code == policy.PolicyViolation || code == policy.OptOutForbidden
}

// book holds the verdicts on all APIRules. It has no client and no lock.
type book struct {
	world    *facts.World
	settings func() policy.Settings
	verdicts map[types.NamespacedName]*judged
	// order has the names in verdicts in their order; nil if it has to be made.
	order []types.NamespacedName
	// recent are some verdicts that were made lately, each another one.
	recent []*judged
}

func newBook(world *facts.World, settings func() policy.Settings) *book {
	return &book{world: world, settings: settings, verdicts: map[types.NamespacedName]*judged{}}
}

// outcome is what came of looking at one APIRule.
type outcome struct {
	name types.NamespacedName
	uid  types.UID // "" if the APIRule is gone
	// before and after are nil where the APIRule was not or is not there.
	before, after *judged
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
	judgement := policy.Judge(view, facts, b.settings())
	after := &judged{hosts: len(view.Hosts), gateway: view.Gateway, verdict: judgement.Verdict.Verdict}
	for _, one := range judgement.Assessments {
		after.standings = append(after.standings, standing{one.Policy, one.State})
	}
	for _, one := range lasting(judgement.Findings) {
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
func (b *book) shared(one *judged) *judged {
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

// lasting leaves out what is worth saying only once.
func lasting(findings []policy.Finding) []policy.Finding {
	return slices.DeleteFunc(findings, func(one policy.Finding) bool { return one.Once })
}

// judge judges an APIRule again, for the sentences; nothing is known of one that is gone.
func (b *book) judge(ctx context.Context, now time.Time, name types.NamespacedName) policy.Judgement {
	view, exists := b.world.APIRule(name)
	if !exists {
		return policy.Judgement{}
	}
	return policy.Judge(view, b.facts(ctx, view, now), b.settings())
}

// all calls yield with every verdict, in the order of the names.
func (b *book) all(yield func(types.NamespacedName, *judged)) {
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
