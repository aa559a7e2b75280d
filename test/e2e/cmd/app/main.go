// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command app is the application that the end-to-end suite exposes: it answers
// everything on port 8080 with 200. Whatever else a client gets comes from what
// stands before it.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	server := &http.Server{
		Addr: ":8080", ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "the application got %s %s\n", r.Method, r.URL.Path)
		}),
	}
	if err := server.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}
