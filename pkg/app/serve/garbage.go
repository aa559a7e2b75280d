// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"os"
	"time"

	"k8s.io/utils/clock"

	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

const (
	// manyObjects is from how many objects on the world is the larger part of what
	// is in use.
	manyObjects = 5000
	// garbagePeriod is how often the size of the world is looked at.
	garbagePeriod = time.Minute

	// By how many percent of what is in use garbage may grow. 100 is Go's own.
	usual, sparing = 100, 50
)

// garbage has Go collect sooner in a large cluster. There the world is most of the
// memory in use, and what the first lists and a round of the audit leave behind
// would double it; in a small one, collecting more often would cost each request
// more than the few MiB are worth. It does nothing where GOGC is set.
type garbage struct {
	world *registry.World
	clock clock.WithTicker
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
			g.set(g.percent())
		}
	}
}

func (g garbage) percent() int {
	objects := 0
	for _, count := range g.world.Sizes() {
		objects += count
	}
	if objects < manyObjects {
		return usual
	}
	return sparing
}
