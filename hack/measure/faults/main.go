// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chaos makes things go wrong under load and prints what came of it. It
// fails if an answer was wrong, or if one failed where none may.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/test/harness/chaos"
)

func main() {
	each := flag.Duration("each", 20*time.Second, "least time under each fault")
	workers := flag.Int("workers", 8, "requests at the same time")
	writes := flag.Int64("writes", 20_000, "writes while all replicas are down")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, chaos.Options{Workers: *workers, Each: *each, Progress: os.Stderr})
	if err == nil {
		err = outage(ctx, *writes, *workers)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// outage sends writes while no replica is there.
func outage(ctx context.Context, writes int64, workers int) error {
	result, err := chaos.Outage(ctx, writes, workers)
	return errors.Join(err, result.Print(os.Stdout), result.Err())
}

func run(ctx context.Context, options chaos.Options) error {
	results, err := chaos.Run(ctx, options)
	if err := errors.Join(err, chaos.Print(os.Stdout, results)); err != nil {
		return err
	}
	for _, r := range results {
		switch {
		case r.Wrong > 0:
			return fmt.Errorf("%s: %d answers were wrong", r.Fault, r.Wrong)
		case r.Failed > 0:
			return fmt.Errorf("%s: %d admissions failed although a replica was there", r.Fault, r.Failed)
		case r.Lost > r.Losses:
			return fmt.Errorf("%s: %d admissions were lost, and no more than %d may be", r.Fault, r.Lost, r.Losses)
		}
	}
	return nil
}
