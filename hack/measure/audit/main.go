// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command auditscale runs the webhook binary with its audit, as a process, in a
// cluster with thousands of APIRules, changes many of them a minute, and prints
// what that costs: the first round, processor time, memory, and how long a change
// takes to reach the status of a policy. It ends with 1 if a budget is exceeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// maxRound is the budget for looking at 10,000 APIRules, in time of one core.
const maxRound = 2 * time.Second

func main() {
	objects := flag.Int("objects", 10000, "how many APIRules, and as many Services, the cluster has")
	changes := flag.Int("changes", 1000, "how many of them change in a minute")
	minutes := flag.Int("minutes", 1, "for how many minutes")
	flag.Parse()
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *objects, *changes, *minutes)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "auditscale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, objects, changes, minutes int) (err error) {
	directory, err := os.MkdirTemp("", "extauth-guard-auditscale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	binary, err := guard.Build(ctx, directory)
	if err != nil {
		return err
	}
	fmt.Printf("Filling a cluster with %d APIRules and %d Services …\n", objects, objects)
	c, err := fill(ctx, objects)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.plane.Stop()) }()
	process, err := c.start(ctx, binary, directory)
	if err != nil {
		return err
	}
	defer process.Stop()
	return measure(ctx, c, process, objects, changes, minutes)
}

func measure(ctx context.Context, c *cluster, process *guard.Process, objects, changes, minutes int) error {
	begin := time.Now()
	if err := c.await(ctx, func(s status) bool { return s.matched == int64(objects) }); err != nil {
		return fmt.Errorf("waiting for the first round: %w", err)
	}
	first, err := read(ctx, process)
	if err != nil {
		return err
	}
	// The counters have the whole round, on the clock: on a busy machine that is
	// more than the processor time.
	perRound := time.Duration(first.seconds / first.evaluations * float64(objects) * float64(time.Second))
	fmt.Printf("first round: status after %s; %.0f APIRules looked at in %.2f s, so %d in %s\n",
		time.Since(begin).Round(time.Millisecond), first.evaluations, first.seconds, objects, perRound.Round(time.Millisecond))

	fmt.Printf("Making %d changes a minute for %d min …\n", changes, minutes)
	lags, err := c.churn(ctx, changes*minutes, time.Minute/time.Duration(changes))
	if err != nil {
		return err
	}
	if err := settle(ctx); err != nil {
		return err
	}
	busy, err := read(ctx, process)
	if err != nil {
		return err
	}
	fmt.Printf("%d changes: %.0f APIRules looked at, %.2f s of processor time (%.1f%% of one core), RSS %.1f MiB\n",
		changes*minutes, busy.evaluations-first.evaluations, busy.processor-first.processor,
		100*(busy.processor-first.processor)/(float64(minutes)*60), busy.resident/(1<<20))
	for line := range strings.Lines(process.Log()) {
		if strings.Contains(line, "Trying again") {
			fmt.Print(line)
		}
	}
	fmt.Printf("a change reached the status after %s at p50, %s at most, of %d that were timed\n",
		percentile(lags, 50).Round(time.Millisecond), percentile(lags, 100).Round(time.Millisecond), len(lags))

	fmt.Printf("Making %d changes that matter to no APIRule …\n", changes)
	if err := c.noise(ctx, changes); err != nil {
		return err
	}
	quiet, err := read(ctx, process)
	if err != nil {
		return err
	}
	fmt.Printf("%d changes that matter to none: %.0f APIRules looked at, %.2f s of processor time\n",
		changes, quiet.evaluations-busy.evaluations, quiet.processor-busy.processor)

	return judge(process, objects, perRound, quiet.evaluations-busy.evaluations)
}

// judge compares with the budgets.
func judge(process *guard.Process, objects int, perRound time.Duration, needless float64) error {
	var errs []error
	if perRound > maxRound {
		errs = append(errs, fmt.Errorf("%d APIRules take %s, the budget is %s", objects, perRound, maxRound))
	}
	if needless > 0 {
		errs = append(errs, fmt.Errorf("%.0f APIRules were looked at for changes that matter to none", needless))
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(process.PID()))); err != nil {
		errs = append(errs, fmt.Errorf("the webhook process ended: %s", process.Log()))
	}
	return errors.Join(errs...)
}
