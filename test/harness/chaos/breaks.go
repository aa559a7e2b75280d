// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"sync"
	"time"
)

// breaks knows when requests that are under way are lost. Its zero value knows of
// no such time.
type breaks struct {
	mu   sync.Mutex
	open int
	last time.Time // the end of the last one
}

// during runs what breaks requests; from its begin to its end they may be lost.
func (b *breaks) during(run func() error) error {
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.open--
		b.last = time.Now()
	}()
	return run()
}

// since is true for a request that began at a time and ends now, if it was under
// way while requests could be lost.
func (b *breaks) since(begun time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open > 0 || begun.Before(b.last)
}
