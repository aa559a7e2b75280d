// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pollInterval is the time between two looks at whether a proxy is ready.
const pollInterval = 10 * time.Millisecond

// Options says what is run.
type Options struct {
	// Version is empty for the pinned one.
	Version string
	// Args are the flags; the address is chosen here, whatever they say.
	Args []string
	// Env is NAME=VALUE, as a Pod has it.
	Env []string
}

// Process is a proxy that runs.
type Process struct {
	address string
	cmd     *exec.Cmd
	log     *log
	ended   chan struct{}
	err     error
}

// New starts a proxy and returns once it says that it is ready. What keeps it
// from that is the error, with the end of its log. The context bounds the start
// and not the process; Stop ends that.
func New(ctx context.Context, options Options) (*Process, error) {
	binary, err := Binary(ctx, options.Version)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &Process{address: address, log: &log{}, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, onLoopback(options.Args, address)...)
	p.cmd.Env = options.Env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting oauth2-proxy: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err := p.waitUntilReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Start is New for tests: it fails the test instead of returning an error, and
// stops the proxy when the test ends.
func Start(tb testing.TB, options Options) *Process {
	tb.Helper()
	p, err := New(tb.Context(), options)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = p.Stop() })
	return p
}

// Address is host:port of the proxy.
func (p *Process) Address() string { return p.address }

// Log is what the proxy printed so far.
func (p *Process) Log() string { return p.log.String() }

// Stop ends the process and waits for its end.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	err := p.cmd.Process.Kill()
	<-p.ended
	return err
}

// Dial connects to the proxy whatever the address is, as a Service would.
func (p *Process) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, p.address)
}

func (p *Process) waitUntilReady(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		if ready(ctx, p.address) {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("oauth2-proxy ended (%w): %s", p.err, lastLine(p.Log()))
		case <-ctx.Done():
			return fmt.Errorf("oauth2-proxy is not ready: %w: %s", ctx.Err(), lastLine(p.Log()))
		case <-ticker.C:
		}
	}
}

func ready(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/ready", nil)
	if err != nil {
		return false
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// onLoopback replaces the addresses that a Pod listens on.
func onLoopback(args []string, address string) []string {
	kept := make([]string, 0, len(args)+1)
	for _, arg := range args {
		if !strings.HasPrefix(arg, "--http-address=") && !strings.HasPrefix(arg, "--metrics-address=") {
			kept = append(kept, arg)
		}
	}
	return append(kept, "--http-address="+address)
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// log may be read while the process still writes.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was written so far.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
