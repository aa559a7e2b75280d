// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// block is a number of like requests in a row.
type block struct {
	latencies []time.Duration
	errors    int
	wall      time.Duration
	// cpu is the processor time of the scenario's webhook server.
	cpu time.Duration
}

// plus returns both as one.
func (b block) plus(other block) block {
	return block{
		latencies: slices.Concat(b.latencies, other.latencies),
		errors:    b.errors + other.errors, wall: b.wall + other.wall, cpu: b.cpu + other.cpu,
	}
}

// warmup is which part of a block is sent before it and not counted: what comes
// first after other scenarios had their turn finds cold caches and few connections,
// most of all in the cluster that has fewer turns.
const warmup = 5

// collectAfter is how many requests there are between collections, unless a single
// block has more. An API server keeps some hundred MiB of garbage of them.
const collectAfter = 200

// measure sends a block. The number of requests that are under way at any moment
// is concurrency. Before it, once there is enough, the API server and this process,
// which shares its processors, collect their garbage if that is set.
func (p *plane) measure(ctx context.Context, one scenario, concurrency, requests int, dryRun bool) (block, error) {
	if p.collects && p.sent >= collectAfter {
		// The handler of net/http/pprof, which runs runtime.GC first.
		if _, err := p.send(ctx, http.MethodGet, "/debug/pprof/heap?gc=1", "", nil); err != nil {
			return block{}, fmt.Errorf("having the API server collect its garbage: %w", err)
		}
		runtime.GC()
		p.sent = 0
	}
	before := requests / warmup
	p.sent += before + requests
	if _, err := p.run(ctx, one, concurrency, before, dryRun); err != nil {
		return block{}, err
	}
	return p.run(ctx, one, concurrency, requests, dryRun)
}

// run sends requests of a scenario and removes what they stored.
func (p *plane) run(ctx context.Context, one scenario, concurrency, requests int, dryRun bool) (_ block, err error) {
	result := block{latencies: make([]time.Duration, requests)}
	before, err := p.cpuOf(one.server)
	if err != nil {
		return block{}, err
	}
	var next, failed atomic.Int64
	var failure atomic.Pointer[error]
	var workers sync.WaitGroup
	begin := time.Now()
	for range concurrency {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < requests; i = int(next.Add(1)) - 1 {
				method, path, contentType, body := one.request(fmt.Sprintf("request-%d", i), i, dryRun)
				start := time.Now()
				_, err := p.send(ctx, method, path, contentType, body)
				result.latencies[i] = time.Since(start)
				if err != nil {
					failed.Add(1)
					failure.Store(&err)
				}
			}
		})
	}
	workers.Wait()
	result.wall, result.errors = time.Since(begin), int(failed.Load())
	after, err := p.cpuOf(one.server)
	result.cpu = after - before
	if result.errors == requests {
		err = errors.Join(err, *failure.Load())
	}
	if !dryRun {
		_, deleted := p.send(ctx, http.MethodDelete, fmt.Sprintf(apirulePath, one.namespace()), "", nil)
		err = errors.Join(err, deleted)
	}
	return result, errors.Join(err, ctx.Err())
}

func (p *plane) cpuOf(server string) (time.Duration, error) {
	if server == "" {
		return 0, nil
	}
	return p.servers[server].cpu()
}
