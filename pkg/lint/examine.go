// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"context"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Examined is an APIRule with what is known around it, which is asked for once, and what
// follows from that.
type Examined struct {
	// View is the APIRule as it would be stored.
	View apirule.View
	// Facts are those around it.
	Facts policy.Facts
	// Injection is what the mutating webhook does to the APIRule as it is written.
	Injection policy.Injection
	policy.Judgement

	// object and written are the APIRule as it is written.
	object  map[string]any
	written apirule.View
}

// Examine examines an APIRule as the webhook would have it stored, or the one that a
// Service asks for by annotation. It is false for every other object, and for an APIRule
// of a version that is not served.
func (l Linter) Examine(ctx context.Context, object map[string]any) (*Examined, bool) {
	open, ok := l.apirule(object)
	if !ok {
		return nil, false
	}
	one := l.injected(ctx, open)
	// What the mutating webhook refuses, the validating one refuses too: Judge
	// reports every annotation that Inject could not read.
	one.Judgement = policy.Judge(one.View, one.Facts, l.Settings)
	return &one, true
}

// ExamineStored examines an APIRule as a cluster has it.
func (l Linter) ExamineStored(ctx context.Context, view apirule.View) *Examined {
	facts := l.facts(ctx, view)
	return &Examined{
		View: view, Facts: facts, Injection: policy.Inject(view, facts, l.Settings), Judgement: policy.Judge(view, facts, l.Settings),
		written: view,
	}
}

// apirule returns an APIRule of a version that is served, or the one that a Service asks
// for by annotation.
func (l Linter) apirule(object map[string]any) (map[string]any, bool) {
	about := identify(object, l.Namespace)
	switch about.groupKind() {
	case "Service":
		open, asks, err := l.derive(object)
		return open, asks && err == nil
	case apirule.Kind + "." + apirule.Group:
		return object, len(checkVersion(about.apiVersion)) == 0
	}
	return nil, false
}

// injected applies to an APIRule what the mutating webhook would.
func (l Linter) injected(ctx context.Context, object map[string]any) Examined {
	one := Examined{object: object, written: apirule.Parse(object, l.Namespace)}
	one.Facts = l.facts(ctx, one.written)
	one.Injection = policy.Inject(one.written, one.Facts, l.Settings)
	one.View = one.Injection.Edits.On(one.written)
	return one
}

func (l Linter) facts(ctx context.Context, view apirule.View) policy.Facts {
	facts := l.Source.Facts(ctx, view)
	facts.Now = l.Now
	if !l.Complete {
		facts.Partial, facts.Backends = true, nil
	}
	return facts
}
