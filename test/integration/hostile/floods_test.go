// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// body is nearly the largest that is read.
const body = 7<<20 - 1

// floods are what many do at once. Each ends by itself or with its context.
func floods() map[string]func(context.Context, *testing.T, *client) {
	return map[string]func(context.Context, *testing.T, *client){
		"large bodies":                         largeBodies,
		"large bodies of many values":          bodiesOfValues,
		"connections":                          connections,
		"bodies that come byte by byte":        slowBodies,
		"streams on one connection":            streams,
		"headers that never end":               endlessHeaders,
		"bodies that say no length":            unknownLengths,
		"large bodies, each on its own stream": largeStreams,
	}
}

func many(count int, do func(i int)) {
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func largeBodies(ctx context.Context, _ *testing.T, c *client) {
	blanks := bytes.Repeat([]byte(" "), body)
	many(40, func(int) { _, _ = c.post(ctx, webhook.ValidateAPIRulePath, bytes.NewReader(blanks)) })
}

func bodiesOfValues(ctx context.Context, _ *testing.T, c *client) {
	values := append([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"operation":"CREATE","object":{"spec":[`), bytes.Repeat([]byte("{},"), 95_000)...)
	values = append(values, []byte("0]}}}")...)
	many(40, func(int) { _, _ = c.post(ctx, webhook.ValidateAPIRulePath, bytes.NewReader(values)) })
}

// unknownLengths hide how long they are.
func unknownLengths(ctx context.Context, _ *testing.T, c *client) {
	blanks := bytes.Repeat([]byte(" "), body)
	many(40, func(int) { _, _ = c.post(ctx, webhook.MutateAPIRulePath, io.MultiReader(bytes.NewReader(blanks))) })
}

// dialed opens connections and closes them when all are done.
func dialed(ctx context.Context, c *client, count int, do func(net.Conn)) {
	many(count, func(int) {
		conn, err := c.dialer.DialContext(ctx, "tcp", c.address)
		if err != nil {
			return // no room is an answer
		}
		defer func() { _ = conn.Close() }()
		do(conn)
	})
}

func connections(ctx context.Context, _ *testing.T, c *client) {
	dialed(ctx, c, 500, func(conn net.Conn) {
		_, _ = conn.Write([]byte("POST "))
	})
}

func slowBodies(ctx context.Context, _ *testing.T, c *client) {
	dialed(ctx, c, 100, func(conn net.Conn) {
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", webhook.ValidateAPIRulePath, body)
		_, _ = io.Copy(io.Discard, conn) // until the server hangs up
	})
}

func endlessHeaders(ctx context.Context, _ *testing.T, c *client) {
	dialed(ctx, c, 100, func(conn net.Conn) {
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\n", webhook.ValidateAPIRulePath)
		line := []byte("X-Long: " + string(bytes.Repeat([]byte("x"), 4<<10)) + "\r\n")
		for range 1000 {
			if _, err := conn.Write(line); err != nil {
				return
			}
		}
	})
}

func streams(ctx context.Context, t *testing.T, c *client) {
	t.Helper()
	overOne(ctx, c, 500, []byte("{}"))
}

func largeStreams(ctx context.Context, t *testing.T, c *client) {
	t.Helper()
	overOne(ctx, c, 100, bytes.Repeat([]byte(" "), body))
}

// overOne sends requests at once over one connection.
func overOne(ctx context.Context, c *client, count int, content []byte) {
	transport := &http.Transport{TLSClientConfig: c.dialer.Config.Clone(), MaxConnsPerHost: 1, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP2(true)
	defer transport.CloseIdleConnections()
	many(count, func(int) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+webhook.ValidateAPIRulePath, bytes.NewReader(content))
		if err != nil {
			return
		}
		request.Header.Set("Content-Type", "application/json")
		if answer, err := transport.RoundTrip(request); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	})
}
