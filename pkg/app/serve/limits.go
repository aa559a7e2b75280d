// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// requestTime is the longest that a request may take to arrive, and its answer to
// leave after it. An API server gives up after three seconds.
//
// The other limits are not ours to set and are good as they are:
// controller-runtime's server takes 32 s for headers of at most 1 MiB, closes a
// connection that is idle for 90 s; package webhook reads at most 7 MiB of a body;
// net/http lets a client have 250 streams on a connection, counts those that it
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
