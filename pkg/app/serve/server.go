// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

const (
	// headerTime is how long a handshake and the headers of a request may take.
	headerTime = 5 * time.Second
	// idleTime is how long a connection may be unused. A client closes an idle one
	// after 90 s itself (net/http, DefaultTransport).
	idleTime = 90 * time.Second
	// shutdownTime is how long a server waits for its handlers at the end.
	shutdownTime = time.Minute
	// maxHeader is the size of all headers of a request, in bytes.
	maxHeader = 64 << 10
	// maxStreams is how many requests a connection may have under way. A client
	// opens another connection for more.
	maxStreams = 100
	// receiveBuffer is how many bytes of bodies a connection may send ahead of the
	// handlers.
	receiveBuffer = 256 << 10
)

// server serves webhooks over TLS. It is controller-runtime's server with limits:
// that one sets no bound to connections, and hands out no http.Server on which
// there could be one.
type server struct {
	address string
	tls     *tls.Config
	mux     *http.ServeMux
	log     logr.Logger
	started atomic.Bool
}

var _ ctrlwebhook.Server = &server{}

func newServer(host string, port int, config *tls.Config, log logr.Logger) *server {
	return &server{address: net.JoinHostPort(host, strconv.Itoa(port)), tls: config, mux: http.NewServeMux(), log: log}
}

// NeedLeaderElection is false: every replica answers.
func (s *server) NeedLeaderElection() bool { return false }

// WebhookMux returns what the webhooks are registered with.
func (s *server) WebhookMux() *http.ServeMux { return s.mux }

// Register has a webhook served at a path. It panics if the path is taken.
func (s *server) Register(path string, hook http.Handler) { s.mux.Handle(path, hook) }

// Start serves until ctx ends, and then until the handlers under way have ended or
// a minute has passed.
func (s *server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.address, err)
	}
	serving := &http.Server{
		Handler: s.mux,
		// What is under way at the end is still answered.
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnState:         newConnections(maxConnections).changed,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: receiveBuffer,
			MaxReceiveBufferPerStream:     receiveBuffer,
		},
		// A failed handshake is a line, and anybody can make them.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.log), slog.Level(-1)),
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		ended <- serving.Shutdown(last)
	}()
	s.started.Store(true)
	s.log.Info("Serving webhooks", "address", s.address)
	if err := serving.Serve(tls.NewListener(listener, s.tls)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	if err := <-ended; err != nil {
		return fmt.Errorf("shutting down the webhook server: %w", err)
	}
	return nil
}

// StartedChecker returns a check that the port answers with TLS.
func (s *server) StartedChecker() healthz.Checker {
	dialer := &tls.Dialer{
		NetDialer: &net.Dialer{Timeout: 10 * time.Second},
		Config:    &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // that it answers is all that is asked, and it is this process
	}
	return func(request *http.Request) error {
		if !s.started.Load() {
			return errors.New("the webhook server has not started yet")
		}
		conn, err := dialer.DialContext(request.Context(), "tcp", s.address)
		if err != nil {
			return fmt.Errorf("connecting to the webhook server: %w", err)
		}
		return conn.Close()
	}
}
