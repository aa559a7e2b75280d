// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// balancer forwards TCP connections on the loopback to backends in turn, as a
// Service does, and can cut all of them at once, as a network does. A backend
// that does not answer is its client's problem: kube-proxy tries no other either.
type balancer struct {
	listener net.Listener
	next     atomic.Uint64

	mu       sync.Mutex
	backends []string
	open     map[net.Conn]struct{}
	running  sync.WaitGroup
}

func newBalancer(ctx context.Context, backends ...string) (*balancer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &balancer{listener: listener, backends: backends, open: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	return b, nil
}

func (b *balancer) address() string {
	return b.listener.Addr().String()
}

// use replaces the backends; connections that are open stay.
func (b *balancer) use(backends ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = backends
}

// cut closes every connection.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.open {
		_ = conn.Close() // the other side sees it, which is the point
	}
}

func (b *balancer) close() error {
	err := b.listener.Close()
	b.cut()
	b.running.Wait()
	return err
}

func (b *balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.forward(client) })
	}
}

func (b *balancer) forward(client net.Conn) {
	defer b.forget(client)
	server, err := b.dial()
	if err != nil {
		return
	}
	defer b.forget(server)
	b.keep(client, server)
	var both sync.WaitGroup
	both.Go(func() { pipe(server, client) })
	both.Go(func() { pipe(client, server) })
	both.Wait()
}

func (b *balancer) dial() (net.Conn, error) {
	b.mu.Lock()
	backends := b.backends
	b.mu.Unlock()
	if len(backends) == 0 {
		return nil, errors.New("no backend")
	}
	return net.Dial("tcp", backends[b.next.Add(1)%uint64(len(backends))]) //nolint:noctx // loopback answers at once
}

func (b *balancer) keep(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		b.open[conn] = struct{}{}
	}
}

func (b *balancer) forget(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, conn)
	_ = conn.Close() // closing twice is not an error of ours
}

// pipe copies one direction and then ends both, so that neither side waits for
// a peer that is gone.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from) // the end of a connection is no error here
	_ = to.Close()
	_ = from.Close()
}
