// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command app is the application that the end-to-end suites expose: it answers
// everything on port 8080 with 200 and the request as it came. Whatever else a
// client gets comes from what stands before it.
//
// With the argument get it is a client instead: app get URL prints the status and
// the body of the answer, for requests from inside of the cluster.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	run := serve
	if len(os.Args) == 3 && os.Args[1] == "get" {
		run = func() error { return get(context.Background(), os.Args[2]) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func serve() error {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(echo)}
	return server.ListenAndServe()
}

// echo says which request came, with its headers in the order of their names.
func echo(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "the application got %s %s\n", r.Method, r.URL.Path)
	_ = r.Header.Write(&text) // a buffer takes everything
	_, _ = text.WriteTo(w)
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	fmt.Println(response.StatusCode)
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
