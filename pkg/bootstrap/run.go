// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// Result is what became of one step.
type Result struct {
	// Step is its name.
	Step string
	// Before is the first observation; its State is empty if that failed.
	Before Observation
	// After is the last observation.
	After Observation
	// Applied says whether Apply was called, and so whether anything may have
	// been changed.
	Applied bool
	// Err is why the run ended here, nil for a step that is done.
	Err error
	// Duration is how long all of it took.
	Duration time.Duration
}

// Reporter is told what happens as it happens.
type Reporter interface {
	// Started is called before a step is observed.
	Started(step string)
	// Finished is called with the step's result.
	Finished(result Result)
}

// Options says how to run.
type Options struct {
	// Reporter may be nil.
	Reporter Reporter
	// Clock tells the time.
	Clock clock.PassiveClock
	// StepTimeout bounds each step; zero means that only ctx does.
	StepTimeout time.Duration
	// DryRun observes every step and applies none.
	DryRun bool
}

// BlockedError says that somebody else has to change something first.
type BlockedError struct {
	// Step is where it was found.
	Step string
	// Observation tells what.
	Observation Observation
}

// Error is the observation's message after the step's name.
func (e *BlockedError) Error() string {
	return fmt.Sprintf("step %s is blocked (%s): %s", e.Step, e.Observation.Reason, e.Observation.Message)
}

// ExitCode is 3, so that a Job can tell waiting from failing.
func (e *BlockedError) ExitCode() int { return 3 }

// Run takes the steps in order until one is not Done in the end. The results
// cover every step that was begun. A blocked step is a *BlockedError; whatever
// ended the run is the error, with the step's name in front.
//
// A dry run observes all steps, and after a step that has something to do it
// takes an observation that fails for Unknown: the earlier change may well be what
// it lacks. A blocked step stays blocked, as nothing that the run does changes that.
func Run(ctx context.Context, steps []Step, opts Options) ([]Result, error) {
	run := runner{Options: opts}
	var results []Result
	var planned error
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return results, fmt.Errorf("stopping before step %s: %w", step.Name(), err)
		}
		if opts.Reporter != nil {
			opts.Reporter.Started(step.Name())
		}
		began := opts.Clock.Now()
		result := run.step(ctx, step)
		result.Duration = opts.Clock.Since(began)
		results = append(results, result)
		if opts.Reporter != nil {
			opts.Reporter.Finished(result)
		}
		switch {
		case result.Err == nil:
		case opts.DryRun:
			planned = errors.Join(planned, result.Err)
		default:
			return results, result.Err
		}
	}
	return results, planned
}

type runner struct {
	Options
	// pending is true once a dry run met a step that has something to do.
	pending bool
}

func (r *runner) step(ctx context.Context, step Step) Result {
	if r.StepTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.StepTimeout, &stepTimeoutError{r.StepTimeout})
		defer cancel()
	}
	result := Result{Step: step.Name()}
	result.Before, result.Err = observe(ctx, step)
	result.After = result.Before
	switch {
	case r.DryRun:
		r.plan(&result)
	case result.Err == nil && result.Before.State == Needed:
		result.Applied = true
		result.After, result.Err = apply(ctx, step)
	}
	return result
}

// plan is what a dry run makes of an observation.
func (r *runner) plan(result *Result) {
	switch {
	case result.Before.State == Blocked:
	case result.Err != nil && r.pending:
		result.Before = Observation{State: Unknown, Reason: "DependsOnEarlierStep", Message: result.Err.Error()}
		result.After, result.Err = result.Before, nil
	case result.Before.State == Needed:
		r.pending = true
	}
}

func observe(ctx context.Context, step Step) (Observation, error) {
	observation, err := step.Observe(ctx)
	switch {
	case err != nil:
		return Observation{}, fmt.Errorf("step %s: %w", step.Name(), causeOf(ctx, err))
	case observation.State == Blocked:
		return observation, &BlockedError{Step: step.Name(), Observation: observation}
	default:
		return observation, nil
	}
}

func apply(ctx context.Context, step Step) (Observation, error) {
	if err := step.Apply(ctx); err != nil {
		return Observation{}, fmt.Errorf("step %s: %w", step.Name(), causeOf(ctx, err))
	}
	after, err := observe(ctx, step)
	if err != nil {
		return after, err
	}
	if after.State != Done {
		return after, fmt.Errorf("step %s: still not done after it was applied (%s): %s", step.Name(), after.Reason, after.Message)
	}
	return after, nil
}

// stepTimeoutError says whose deadline it was.
type stepTimeoutError struct{ after time.Duration }

func (e *stepTimeoutError) Error() string {
	return fmt.Sprintf("the step's %s are over (timeouts.step)", e.after)
}

// causeOf adds the step's own deadline to an error that it brought about.
func causeOf(ctx context.Context, err error) error {
	var timeout *stepTimeoutError
	if errors.Is(err, context.DeadlineExceeded) && errors.As(context.Cause(ctx), &timeout) {
		return fmt.Errorf("%w: %w", err, timeout)
	}
	return err
}
