// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// verify sends one request of a scenario until it does what the scenario says: a
// registration takes a moment to reach the API server's cache. What does not do
// what it should is not measured.
func (p *plane) verify(ctx context.Context, one scenario) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		err := p.try(ctx, one)
		if ctx.Err() == nil { // else what went wrong is only that time is up
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("scenario %s is not what it should be: %w", one.name, last)
	}
	return nil
}

func (p *plane) try(ctx context.Context, one scenario) error {
	before, err := p.calls(ctx)
	if err != nil {
		return err
	}
	answer, err := p.dryRun(ctx, one)
	if err != nil {
		return err
	}
	after, err := p.calls(ctx)
	if err != nil {
		return err
	}
	calls := 0
	for name, count := range after {
		calls += count - before[name]
	}
	wanted := 5
	if one.update {
		wanted = 1
	}
	switch {
	case calls != one.calls:
		return fmt.Errorf("the API server called %d webhooks, not %d", calls, one.calls)
	case strings.Count(answer, one.want) < wanted:
		return fmt.Errorf("the answer lacks %d times %s: %s", wanted, one.want, answer)
	}
	return nil
}

func (p *plane) dryRun(ctx context.Context, one scenario) (string, error) {
	method, path, contentType, body := one.request("verify", 0, true)
	answer, err := p.send(ctx, method, path, contentType, body)
	return string(answer), err
}
