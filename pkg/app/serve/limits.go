// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"math"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// requestTime is the longest that a request may take to arrive, and its answer to
// leave after it. An API server gives up after three seconds.
//
// See [connections] and the constants of [server] for connections, headers and
// streams, and webhook.Limits for bodies. net/http counts streams that a client
// resets until their handlers have ended, and ends a connection that goes on
// (CVE-2023-39325).
const requestTime = 5 * time.Second

// limited bounds the time of a request. A client that sends its body byte by byte
// would keep a goroutine and a buffer for as long as it likes.
//
// Deadlines are set only on what is late already: setting one sends a message to
// the goroutine of an HTTP/2 connection, and each request would wait for two.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		control := http.NewResponseController(w)
		var mu sync.Mutex
		answered := false // after that the writer is not ours any more
		late := time.AfterFunc(requestTime, func() {
			mu.Lock()
			defer mu.Unlock()
			if !answered {
				now := time.Now()
				_ = errors.Join(control.SetReadDeadline(now), control.SetWriteDeadline(now.Add(requestTime))) // of a closed connection
			}
		})
		defer func() {
			late.Stop()
			mu.Lock()
			defer mu.Unlock()
			answered = true
		}()
		next.ServeHTTP(w, request)
	})
}

// usualMemory is how much memory is taken to be there where nobody says, in bytes:
// the limit of the chart.
const usualMemory = 256 << 20

// memoryLimit returns how much memory this process may use, in bytes: GOMEMLIMIT.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return usualMemory
}
