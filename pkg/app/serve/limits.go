// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"errors"
	"net/http"
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
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		end := time.Now().Add(requestTime)
		control := http.NewResponseController(w)
		if err := errors.Join(control.SetReadDeadline(end), control.SetWriteDeadline(end.Add(requestTime))); err != nil {
			http.Error(w, "bounding the time of the request: "+err.Error(), http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, request)
	})
}
