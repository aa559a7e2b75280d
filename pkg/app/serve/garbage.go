// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"os"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// garbageRoom is how much garbage there may be before Go collects it, in bytes.
	// What is in use in a small cluster is so little that Go's own rule, as much
	// again, has it collect every fifty requests, which costs them more than the
	// few MiB are worth.
	garbageRoom = 5 << 20
	// sparing is by how many percent of what is in use garbage may always grow. Go's
	// own rule is 100; in a large cluster what the first lists and a round of the
	// audit leave behind would double the memory.
	sparing = 50
	// garbagePeriod is how often is looked at what is in use.
	garbagePeriod = time.Minute
)

// garbage has Go collect by the size of the cluster: [garbageRoom], or half of
// what is in use if that is more. It does nothing where GOGC is set.
type garbage struct {
	clock clock.WithTicker
	// live returns how much is in use, in bytes.
	live func() uint64
	// set is debug.SetGCPercent; it returns what was set before.
	set func(percent int) int
}

// NeedLeaderElection is false: it is about this process.
func (g garbage) NeedLeaderElection() bool {
	return false
}

// Start looks after the garbage until ctx ends. It spares until it has looked for
// the first time, because nobody knows how large the cluster is.
func (g garbage) Start(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	before := g.set(sparing)
	defer g.set(before)
	ticker := g.clock.NewTicker(garbagePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			g.set(garbagePercent(g.live()))
		}
	}
}

// garbagePercent returns by how many percent of live garbage may grow.
func garbagePercent(live uint64) int {
	return max(sparing, int(100*garbageRoom/float64(max(live, 1<<20))))
}

// liveHeap returns what the last collection found in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
