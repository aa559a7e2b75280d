// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Limits bound the memory of all requests that are under way in a process.
// Everybody who can reach the port may send requests. Nil sets no limit.
type Limits struct {
	// bodies bounds the bytes of the bodies that are on their way or read.
	bodies *pool
	// values bounds the JSON values that are being decoded and decided about.
	values *semaphore.Weighted
}

const (
	// maxBody is the largest body that is read, in bytes: the API server takes
	// objects of up to 3 MiB, and a request has two (controller-runtime,
	// pkg/webhook/admission/http.go).
	maxBody = 7 << 20
	// maxValues is the largest number of JSON values that a body may have. An
	// APIRule with 1,000 rules and its managed fields have fewer than 60,000.
	maxValues = 200_000
	// bytesPerValue is about what a JSON value takes once it is decoded.
	bytesPerValue = 256
)

// NewLimits returns limits for a process that may use so many bytes of memory. A
// body of the largest size is always taken, one after the other if need be.
func NewLimits(memory int64) *Limits {
	return &Limits{
		bodies: &pool{size: max(memory/16, 2*maxBody), by: map[string]int64{}},
		values: semaphore.NewWeighted(max(memory/4/bytesPerValue, maxValues)),
	}
}

// takeBody reserves room for a body of a client; it is false if there is none.
// Nobody waits here: a client that sends slowly would make all others wait.
func (l *Limits) takeBody(client string, bytes int64) bool {
	return l == nil || l.bodies.take(client, bytes)
}

func (l *Limits) giveBody(client string, bytes int64) {
	if l != nil {
		l.bodies.give(client, bytes)
	}
}

// takeValues waits for room to decode so many values. Whoever has room is at work
// and not waiting for a client. The error is that ctx ended.
func (l *Limits) takeValues(ctx context.Context, values int64) error {
	if l == nil {
		return nil
	}
	return l.values.Acquire(ctx, values)
}

func (l *Limits) giveValues(values int64) {
	if l != nil {
		l.values.Release(values)
	}
}

// pool is an amount that clients share. A client gets at most half of what the
// others leave, so that however many take all they can, there is something for the
// next one.
type pool struct {
	mu   sync.Mutex
	size int64
	used int64
	by   map[string]int64
}

func (p *pool) take(client string, amount int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.by[client] + amount
	if others := p.used - p.by[client]; own > (p.size-others)/2 {
		return false
	}
	p.used += amount
	p.by[client] = own
	return true
}

func (p *pool) give(client string, amount int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= amount
	p.by[client] -= amount
	if p.by[client] == 0 {
		delete(p.by, client)
	}
}

// countValues returns the number of JSON values in a text, or more: it counts what
// begins or separates them outside of strings. It allocates nothing.
func countValues(text []byte) int64 {
	count := int64(1)
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[', ',', ':':
			count++
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return count
}
