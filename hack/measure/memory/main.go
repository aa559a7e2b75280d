// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command scale runs the webhook binary, as a process, against a small cluster
// and against one with thousands of APIRules and Services, and prints what that
// costs: memory, time from start to ready, and the time of an admission, measured
// in alternating blocks. It ends with 1 if a budget is exceeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// The budgets for ten thousand APIRules and Services.
const (
	maxResident = 100 << 20
	maxStart    = 5 * time.Second
	maxGrowth   = 1.1
)

func main() {
	objects := flag.Int("objects", 10000, "how many APIRules, and as many Services, the large cluster has")
	rounds := flag.Int("rounds", 40, "how many blocks of requests each cluster gets")
	limit := flag.String("gomemlimit", "", "GOMEMLIMIT of the webhook process; empty: none")
	flag.Parse()
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *objects, *rounds, *limit)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, objects, rounds int, limit string) (err error) {
	directory, err := os.MkdirTemp("", "extauth-guard-scale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	binary, err := build(ctx, directory)
	if err != nil {
		return err
	}
	clusters := []*cluster{{name: "small", objects: 10}, {name: "large", objects: objects}}
	for _, one := range clusters {
		defer func() { err = errors.Join(err, one.stop()) }()
		fmt.Printf("Filling the %s cluster with %d APIRules and %d Services …\n", one.name, one.objects, one.objects)
		if err := one.fill(ctx, directory); err != nil {
			return fmt.Errorf("filling the %s cluster: %w", one.name, err)
		}
		if err := one.start(ctx, binary, limit); err != nil {
			return fmt.Errorf("starting the webhook binary for the %s cluster: %w", one.name, err)
		}
	}
	for round := range rounds + 1 {
		for _, one := range clusters {
			if err := one.ask(ctx, round > 0); err != nil { // the first block warms up
				return fmt.Errorf("asking about the %s cluster: %w", one.name, err)
			}
		}
	}
	return report(clusters[0], clusters[1])
}

func report(small, large *cluster) error {
	fmt.Printf("\n%-8s %9s %12s %12s %12s %10s %14s %14s\n", "cluster", "objects", "RSS idle", "RSS asked", "RSS peak", "ready in", "p50 admission", "p99 admission")
	for _, one := range []*cluster{small, large} {
		fmt.Printf("%-8s %9d %8.1f MiB %8.1f MiB %8.1f MiB %10s %14s %14s\n", one.name, 2*one.objects,
			float64(one.idle.resident)/(1<<20), float64(one.asked.resident)/(1<<20), float64(one.asked.peak)/(1<<20), one.ready.Round(time.Millisecond), one.percentile(50), one.percentile(99))
	}
	growth := float64(large.percentile(50)) / float64(small.percentile(50))
	fmt.Printf("\nadmission costs %.2f times as much at p50, %.2f times at p99\n", growth, float64(large.percentile(99))/float64(small.percentile(99)))
	var errs []error
	// The peak counts, not what is left later: a container's limit sees it too.
	if large.asked.peak > maxResident {
		errs = append(errs, fmt.Errorf("RSS reached %.1f MiB, the budget is %d MiB", float64(large.asked.peak)/(1<<20), maxResident>>20))
	}
	if large.ready > maxStart {
		errs = append(errs, fmt.Errorf("ready after %s, the budget is %s", large.ready, maxStart))
	}
	if growth > maxGrowth {
		errs = append(errs, fmt.Errorf("an admission costs %.2f times as much as in a small cluster, the budget is %.1f", growth, maxGrowth))
	}
	return errors.Join(errs...)
}

func build(ctx context.Context, directory string) (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(directory, "webhook")
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/webhook")
	command.Dir, command.Env, command.Stderr = root, append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("building the webhook binary: %w", err)
	}
	return binary, nil
}
