// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
)

func TestGarbageIsSparedInALargeCluster(t *testing.T) {
	t.Setenv("GOGC", "")
	world := registry.NewWorld("a test")
	by := clocktesting.NewFakeClock(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	told := make(chan int, 1)
	set := func(percent int) int {
		told <- percent
		return 123
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- garbage{world: world, clock: by, set: set}.Start(ctx) }()
	next := func() int {
		require.Eventually(t, by.HasWaiters, 10*time.Second, time.Millisecond)
		by.Step(garbagePeriod)
		return <-told
	}

	assert.Equal(t, sparing, <-told, "until it has looked")
	assert.Equal(t, usual, next(), "in an empty cluster")
	for i := range manyObjects {
		world.SetService(types.NamespacedName{Namespace: "shop", Name: strconv.Itoa(i)}, policy.Service{})
	}
	assert.Equal(t, sparing, next(), "in a large cluster")
	stop()
	assert.Equal(t, 123, <-told, "nothing is left behind")
	require.NoError(t, <-ended)
}

func TestGarbageIsLeftToWhoeverSetsGOGC(t *testing.T) {
	t.Setenv("GOGC", "77")
	set := func(int) int {
		assert.Fail(t, "something is set")
		return 0
	}
	require.NoError(t, garbage{world: registry.NewWorld("a test"), set: set}.Start(t.Context()), "it returns at once")
}
