// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos runs two replicas of the webhook server under a steady load and
// makes one thing after another go wrong. Every answer is compared with what the
// rules say it must be: it is right, failed (refused, because somebody could not
// be asked), lost (failed, but under way at a replica when that was killed) or wrong
// (admitted unprotected, or changed or refused without a reason). No answer may ever
// be wrong, and none may fail.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"
	"time"
)

// Options say how much is tried.
type Options struct {
	// Workers send requests at the same time.
	Workers int
	// Each is the least time for which the load runs under each fault; a fault
	// that is over sooner happens again.
	Each time.Duration
	// Progress gets a line for each fault; nil discards it.
	Progress io.Writer
}

// Result is what the load saw during one fault.
type Result struct {
	Fault                               string
	Right, Failed, Lost, Wrong, Unasked int64
	// Losses is the number of admissions that may be lost, because they are under way
	// at a replica that is killed; none where one is always there. None may fail.
	Losses int64
	// Times is how often the fault happened.
	Times int
	// Examples are the first answers that were failed or wrong.
	Examples []string
}

// Admissions is the number of requests that admission answered.
func (r Result) Admissions() int64 {
	return r.Right + r.Failed + r.Lost + r.Wrong
}

// Run tries all faults in turn and returns what was seen. An error means that a
// fault could not be brought about, or that the world did not recover from it.
func Run(ctx context.Context, tried Options) (results []Result, err error) {
	w, err := build(ctx, options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	running, stop := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		w.load.run(running, tried.Workers)
	}()
	defer func() {
		stop()
		<-finished
	}()
	for _, one := range faults {
		result, err := w.suffer(ctx, one, tried)
		if err != nil {
			return results, fmt.Errorf("%s: %w", one.name, err)
		}
		results = append(results, result)
		if tried.Progress != nil {
			fmt.Fprintf(tried.Progress, "%-32s %d admissions, %d failed, %d lost, %d wrong\n", one.name, result.Admissions(), result.Failed, result.Lost, result.Wrong)
		}
	}
	return results, nil
}

// suffer lets one fault happen, again and again for the time asked for.
func (w *world) suffer(ctx context.Context, one fault, options Options) (Result, error) {
	counted := &tally{}
	w.load.tally.Store(counted)
	times := 0
	for end := time.Now().Add(options.Each); times == 0 || time.Now().Before(end); times++ {
		if err := one.run(ctx, w); err != nil {
			return Result{}, err
		}
	}
	if err := w.load.answered(ctx, counted); err != nil {
		return Result{}, err
	}
	if err := pause(ctx, settle); err != nil {
		return Result{}, err
	}
	result := counted.result(one.name)
	result.Losses, result.Times = one.losses*int64(times)*int64(options.Workers), times
	return result, nil
}

// Print writes the results as a table, with examples of what was not right.
func Print(to io.Writer, results []Result) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "fault\ttimes\tadmissions\tright\tfailed\tlost\tmay be lost\twrong\tAPI server away\t")
	var sum Result
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Fault, r.Times, r.Admissions(), r.Right, r.Failed, r.Lost, r.Losses, r.Wrong, r.Unasked)
		sum.Right, sum.Failed, sum.Lost, sum.Losses = sum.Right+r.Right, sum.Failed+r.Failed, sum.Lost+r.Lost, sum.Losses+r.Losses
		sum.Wrong, sum.Unasked = sum.Wrong+r.Wrong, sum.Unasked+r.Unasked
	}
	fmt.Fprintf(table, "all\t\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", sum.Admissions(), sum.Right, sum.Failed, sum.Lost, sum.Losses, sum.Wrong, sum.Unasked)
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		for _, example := range r.Examples {
			fmt.Fprintf(to, "%s: %s\n", r.Fault, example)
		}
	}
	return nil
}

// clientServer splits the address of an API server.
func clientServer(server string) (host string, secure bool, err error) {
	parsed, err := url.Parse(server)
	if err != nil {
		return "", false, err
	}
	if parsed.Host == "" {
		return server, false, nil
	}
	return parsed.Host, parsed.Scheme == "https", nil
}
