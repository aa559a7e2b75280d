// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap runs ordered, idempotent steps.
//
// A step looks first and changes something only if that is needed; afterwards it
// has to look as wanted. Nothing is remembered between runs, so a run that was
// killed is simply started again. The package knows nothing about clusters.
package bootstrap

import (
	"context"
	"slices"
)

// State is what an observation amounts to.
type State string

// The states of an observation.
const (
	// Done: everything is as wanted; Apply is not called.
	Done State = "Done"
	// Needed: Apply has something to do.
	Needed State = "Needed"
	// Blocked: somebody else has to change something first, and no number of
	// repetitions helps until then.
	Blocked State = "Blocked"
	// Unknown: it cannot be told yet. Only a dry run says so, of a step that
	// depends on an earlier one which the dry run did not carry out.
	Unknown State = "Unknown"
)

// Observation is what a step saw.
type Observation struct {
	// State is Done, Needed or Blocked.
	State State `json:"state"`
	// Reason is a stable CamelCase word for programs.
	Reason string `json:"reason,omitempty"`
	// Message is a sentence for people. If Blocked, it says what to do.
	Message string `json:"message,omitempty"`
}

// Step is one idempotent change.
type Step interface {
	// Name identifies the step in logs and results.
	Name() string
	// Observe looks and changes nothing. An error means it could not tell.
	Observe(ctx context.Context) (Observation, error)
	// Apply makes the change. It is called only when Observe said Needed, and
	// must leave the step Done or return an error.
	Apply(ctx context.Context) error
}

// Undoer is a Step that can be taken back.
type Undoer interface {
	Step
	// ObserveUndo says Done if nothing of the step is there.
	ObserveUndo(ctx context.Context) (Observation, error)
	// Undo takes back what Apply did and nothing else. It is called only when
	// ObserveUndo said Needed.
	Undo(ctx context.Context) error
}

// Reverse returns the steps that undo the given ones, last first. Steps that
// changed nothing worth undoing are not Undoers and are left out.
func Reverse(steps []Step) []Step {
	var reversed []Step
	for _, step := range slices.Backward(steps) {
		if undoer, ok := step.(Undoer); ok {
			reversed = append(reversed, undo{undoer})
		}
	}
	return reversed
}

// undo turns an Undoer around.
type undo struct{ Undoer }

// Observe looks whether there is something to undo.
func (u undo) Observe(ctx context.Context) (Observation, error) { return u.ObserveUndo(ctx) }

// Apply undoes it.
func (u undo) Apply(ctx context.Context) error { return u.Undo(ctx) }
