// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
	"github.com/extauth-guard/extauth-guard/test/harness/hostile"
)

// fixed is what a request may allocate whatever its size, in bytes: buffers of
// the standard library that come from a pool. Under the race detector a pool
// forgets one in four of them, at random.
const fixed = 64 << 10

// What a request costs is in proportion to its size, whatever it is that there is
// much of. It is measured by what is allocated, which a busy machine does not
// change.
func TestHostileInputsCostInProportion(t *testing.T) {
	inputs := hostile.Inputs()
	require.GreaterOrEqual(t, len(inputs), 40)
	answering := handlers(decider(world()))
	for _, input := range inputs {
		t.Run(input.Name, func(t *testing.T) {
			few := allocated(t, answering[input.Hook], input, input.N, 0)
			most := 5 * max(few, fixed)
			many := allocated(t, answering[input.Hook], input, 4*input.N, most)
			assert.LessOrEqual(t, many, most, "%d bytes for %d, %d for four times as many", few, input.N, many)
		})
	}
}

// allocated returns how many bytes answering a review of a size allocates. The
// least of some is what nothing else in the process took part in: four times, and up to
// twenty while it is more than enough.
func allocated(t *testing.T, handler webhook.Handler, input hostile.Input, n int, enough uint64) uint64 {
	t.Helper()
	review, err := input.Review(n)
	require.NoError(t, err)
	// A collection empties the pools of the standard library, and they are filled again.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var least uint64
	for i := 0; i < 4 || i < 20 && enough > 0 && least > enough; i++ {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, input.Path(), bytes.NewReader(review))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		served := endpoint(handler, logr.Discard()) // a new one, which has no buffer from before
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		served.ServeHTTP(answer, request)
		runtime.ReadMemStats(&after)
		require.Equal(t, http.StatusOK, answer.Code)
		require.Less(t, answer.Body.Len(), 64<<10+80*len(review), "a rule of three bytes that is injected is an operation of a patch")
		if took := after.TotalAlloc - before.TotalAlloc; least == 0 || took < least {
			least = took
		}
	}
	return least
}
