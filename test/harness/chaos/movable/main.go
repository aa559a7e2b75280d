// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command movable is the webhook server as it ships, but by a clock that can be
// moved while it runs: each line on its standard input is a duration, by which
// the clock is then ahead of the machine's, and is answered with the same line.
//
// It moves what goes by the clock of serve.RunAt, and all of it at once. It does
// not move the clock of the machine: TLS, the Lease, and the timers of Go, which
// no step of a wall clock moves either, go on as they were. Nothing that needs no
// root moves more: Go reads the time from the kernel's page and not through the
// C library, and a time namespace has no wall clock.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
)

// movable is a real clock with an offset. Its times have no monotonic part, so
// that differences jump with it, which is worse than what a real step does.
type movable struct {
	clock.RealClock
	ahead atomic.Int64
}

// Now implements clock.PassiveClock.
func (m *movable) Now() time.Time {
	return time.Now().Add(time.Duration(m.ahead.Load())).Round(0)
}

// Since implements clock.PassiveClock.
func (m *movable) Since(then time.Time) time.Duration {
	return m.Now().Sub(then)
}

// follow moves the clock by the lines of in until it ends.
func (m *movable) follow(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		ahead, err := time.ParseDuration(lines.Text())
		if err != nil {
			return err
		}
		m.ahead.Store(int64(ahead))
		fmt.Fprintln(out, lines.Text())
	}
	return lines.Err()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	moved := &movable{}
	go func() {
		if err := moved.follow(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "movable:", err)
			stop()
		}
	}()
	err := serve.RunAt(ctx, moved, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "movable:", err)
	}
	os.Exit(exit.Code(err))
}
