// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeoauth2proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Run parses, starts and serves until the context ends. It writes a line with
// the address it listens on.
func Run(ctx context.Context, args []string, getenv func(string) string, log io.Writer) error {
	options, err := ParseOptions(args, getenv)
	if err != nil {
		return err
	}
	proxy, err := New(ctx, options, nil)
	if err != nil {
		return err
	}
	address := strings.TrimPrefix(options.HTTPAddress, "http://")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	_, _ = fmt.Fprintf(log, "this is a fake of oauth2-proxy, listening on %s\n", listener.Addr())
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(shutdown)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	<-drained
	return nil
}
