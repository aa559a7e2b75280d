// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
)

// fakeStep plays back observations, the last one for ever.
type fakeStep struct {
	name     string
	sees     []bootstrap.Observation
	seesErr  error
	applyErr error
	apply    func(context.Context) error
	applied  int
}

func (f *fakeStep) Name() string { return f.name }

func (f *fakeStep) Observe(context.Context) (bootstrap.Observation, error) {
	if f.seesErr != nil {
		return bootstrap.Observation{}, f.seesErr
	}
	seen := f.sees[0]
	if len(f.sees) > 1 {
		f.sees = f.sees[1:]
	}
	return seen, nil
}

func (f *fakeStep) Apply(ctx context.Context) error {
	f.applied++
	if f.apply != nil {
		return f.apply(ctx)
	}
	return f.applyErr
}

// undoable can be taken back.
type undoable struct{ fakeStep }

func (u *undoable) ObserveUndo(context.Context) (bootstrap.Observation, error) { return needed(), nil }

func (u *undoable) Undo(context.Context) error { return errors.New("undid " + u.name) }

func done() bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Done, Reason: "Ready"}
}

func needed() bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Needed, Reason: "Missing", Message: "nothing there"}
}

func blocked() bootstrap.Observation {
	return bootstrap.Observation{State: bootstrap.Blocked, Reason: "Foreign", Message: "remove it first"}
}

func step(name string, sees ...bootstrap.Observation) *fakeStep {
	return &fakeStep{name: name, sees: sees}
}

func options() bootstrap.Options {
	return bootstrap.Options{Clock: clocktesting.NewFakePassiveClock(time.Unix(0, 0)), StepTimeout: time.Minute}
}

func TestRun(t *testing.T) {
	boom := errors.New("boom")
	cases := map[string]struct {
		steps       []*fakeStep
		wantErr     string
		wantApplied []int
		wantResults int
		wantExit    int
	}{
		"what is done is left alone": {
			[]*fakeStep{step("a", done()), step("b", done())}, "", []int{0, 0}, 2, exit.Done,
		},
		"what is needed is applied once and looked at again": {
			[]*fakeStep{step("a", needed(), done()), step("b", needed(), done())}, "", []int{1, 1}, 2, exit.Done,
		},
		"an apply that achieved nothing is an error": {
			[]*fakeStep{step("a", needed()), step("b", done())},
			"step a: still not done after it was applied (Missing): nothing there",
			[]int{1, 0},
			1, exit.Failed,
		},
		"a blocked step ends the run before the next": {
			[]*fakeStep{step("a", done()), step("b", blocked()), step("c", needed(), done())},
			"step b is blocked (Foreign): remove it first",
			[]int{0, 0, 0},
			2, exit.Blocked,
		},
		"blocked after it was applied is blocked": {
			[]*fakeStep{step("a", needed(), blocked())}, "step a is blocked (Foreign): remove it first", []int{1}, 1, exit.Blocked,
		},
		"an observation that failed applies nothing": {
			[]*fakeStep{{name: "a", seesErr: boom}}, "step a: boom", []int{0}, 1, exit.Failed,
		},
		"an apply that failed ends the run": {
			[]*fakeStep{{name: "a", sees: []bootstrap.Observation{needed()}, applyErr: boom}, step("b", done())},
			"step a: boom",
			[]int{1, 0},
			1, exit.Failed,
		},
		"out of time has its own exit code": {
			[]*fakeStep{{name: "a", sees: []bootstrap.Observation{needed()}, applyErr: context.DeadlineExceeded}},
			"step a: context deadline exceeded",
			[]int{1},
			1, exit.Timeout,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var steps []bootstrap.Step
			for _, s := range tc.steps {
				steps = append(steps, s)
			}
			results, err := bootstrap.Run(t.Context(), steps, options())
			if tc.wantErr == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, tc.wantErr)
				require.ErrorIs(t, err, results[len(results)-1].Err)
			}
			var applied []int
			for _, s := range tc.steps {
				applied = append(applied, s.applied)
			}
			assert.Empty(t, cmp.Diff(tc.wantApplied, applied), "(-want +got)")
			assert.Len(t, results, tc.wantResults)
			assert.Equal(t, tc.wantExit, exit.Code(err))
		})
	}
}

func TestADryRunAppliesNothingAndSeesEverything(t *testing.T) {
	steps := []*fakeStep{
		step("a", done()), step("b", needed()), {name: "c", seesErr: errors.New("no such namespace")}, step("d", blocked()), step("e", done()),
	}
	var all []bootstrap.Step
	for _, s := range steps {
		all = append(all, s)
	}
	opts := options()
	opts.DryRun = true
	results, err := bootstrap.Run(t.Context(), all, opts)
	assert.Equal(t, exit.Blocked, exit.Code(err), "nothing that the run would do helps a blocked step")
	require.ErrorContains(t, err, "step d is blocked")
	assert.NotContains(t, err.Error(), "no such namespace", "what follows a change that was not made cannot be judged")
	var got []bootstrap.State
	for _, r := range results {
		got = append(got, r.After.State)
	}
	want := []bootstrap.State{bootstrap.Done, bootstrap.Needed, bootstrap.Unknown, bootstrap.Blocked, bootstrap.Done}
	assert.Empty(t, cmp.Diff(want, got), "(-want +got)")
	for _, s := range steps {
		assert.Zero(t, s.applied)
	}
}

func TestADryRunThatIsBlockedFromTheStartSaysSo(t *testing.T) {
	opts := options()
	opts.DryRun = true
	results, err := bootstrap.Run(t.Context(), []bootstrap.Step{step("a", blocked()), step("b", needed())}, opts)
	assert.Equal(t, exit.Blocked, exit.Code(err))
	assert.Len(t, results, 2)
}

func TestAStepHasADeadlineOfItsOwn(t *testing.T) {
	opts := options()
	opts.StepTimeout = time.Nanosecond
	stuck := step("a", needed())
	stuck.apply = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	_, err := bootstrap.Run(t.Context(), []bootstrap.Step{stuck}, opts)
	require.EqualError(t, err, "step a: context deadline exceeded: the step's 1ns are over (timeouts.step)")
	assert.Equal(t, exit.Timeout, exit.Code(err))
}

func TestACancelledRunStopsBeforeTheNextStep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first := step("a", needed(), done())
	first.apply = func(context.Context) error { cancel(); return nil }
	second := step("b", needed(), done())
	results, err := bootstrap.Run(ctx, []bootstrap.Step{first, second}, options())
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, results, 1)
	assert.Zero(t, second.applied)
}

func TestReverseUndoesTheLastFirstAndSkipsWhatChangedNothing(t *testing.T) {
	reversed := bootstrap.Reverse([]bootstrap.Step{
		&undoable{fakeStep{name: "a"}}, step("b", done()), &undoable{fakeStep{name: "c"}},
	})
	require.Len(t, reversed, 2)
	assert.EqualError(t, reversed[0].Apply(t.Context()), "undid c")
	assert.EqualError(t, reversed[1].Apply(t.Context()), "undid a")
	seen, err := reversed[0].Observe(t.Context())
	require.NoError(t, err)
	assert.Equal(t, needed(), seen)
}

func TestPollSaysWhatItLastWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := bootstrap.Poll(ctx, clocktesting.NewFakeClock(time.Unix(0, 0)), time.Second, func(context.Context) (string, error) {
		cancel()
		return "waiting for Godot", nil
	})
	require.EqualError(t, err, "waiting for Godot: context canceled")

	calls := 0
	require.NoError(t, bootstrap.Poll(t.Context(), &instant{}, time.Hour, func(context.Context) (string, error) {
		if calls++; calls < 3 {
			return "more", nil
		}
		return "", nil
	}))
	assert.Equal(t, 3, calls)
}

// instant is a clock on which waiting takes no time.
type instant struct{ clocktesting.FakeClock }

func (*instant) After(time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}
