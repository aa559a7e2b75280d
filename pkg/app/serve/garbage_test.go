// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestGarbageGoesByWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	var live atomic.Uint64
	by := clocktesting.NewFakeClock(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	told := make(chan int, 1)
	set := func(percent int) int {
		told <- percent
		return 123
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- garbage{clock: by, live: live.Load, set: set}.Start(ctx) }()
	after := func(inUse uint64) int {
		live.Store(inUse)
		require.Eventually(t, by.HasWaiters, 10*time.Second, time.Millisecond)
		by.Step(garbagePeriod)
		return <-told
	}

	assert.Equal(t, sparing, <-told, "until it has looked")
	assert.Equal(t, 200, after(garbageRoom/2), "in a small cluster there is room for twice as much")
	assert.Equal(t, 100, after(garbageRoom))
	assert.Equal(t, sparing, after(20*garbageRoom), "in a large cluster")
	assert.Equal(t, 500, after(0), "before the first collection")
	stop()
	assert.Equal(t, 123, <-told, "nothing is left behind")
	require.NoError(t, <-ended)
}

func TestLiveHeapIsWhatTheLastCollectionFound(t *testing.T) {
	held := make([]byte, 64<<20)
	runtime.GC()
	assert.Greater(t, liveHeap(), uint64(64<<20))
	runtime.KeepAlive(held)
}

func TestGarbageIsLeftToWhoeverSetsGOGC(t *testing.T) {
	t.Setenv("GOGC", "77")
	set := func(int) int {
		assert.Fail(t, "something is set")
		return 0
	}
	require.NoError(t, garbage{set: set}.Start(t.Context()), "it returns at once")
}
