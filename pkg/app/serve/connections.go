// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections the webhooks keep open. An API server
// needs one or two, and one more for each 100 requests that are under way.
const maxConnections = 200

// connections bounds how many connections are open. Each takes some 50 KiB, and
// everybody who can reach the port may open them.
//
// A new connection is always taken, and closes another one if there are too many:
// of the address that has the most, an unused one before a used one, and the one
// that has been so for longest. An API server that is at work keeps its own,
// however many somebody else opens.
type connections struct {
	max int

	mu   sync.Mutex
	turn uint64
	open map[net.Conn]*connection
}

// connection is what is known of an open one.
type connection struct {
	source string
	active bool
	// turn is when it was last opened, used or left, as a running number.
	turn uint64
}

func newConnections(limit int) *connections {
	return &connections{max: limit, open: map[net.Conn]*connection{}}
}

// changed is to be called at each change of a connection's state, as
// [http.Server.ConnState] is.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		// Not the TLS connection itself, which would wait to say goodbye.
		if secured, ok := victim.(*tls.Conn); ok {
			victim = secured.NetConn()
		}
		_ = victim.Close() // it is the last that anybody hears of it
	}
}

// note keeps the state of a connection and returns another one that has to go.
func (c *connections) note(conn net.Conn, state http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn++
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.open, conn)
		return nil
	}
	one := c.open[conn]
	if one == nil {
		one = &connection{source: sourceOf(conn)}
		c.open[conn] = one
	}
	one.active, one.turn = state == http.StateActive, c.turn
	if state != http.StateNew || len(c.open) <= c.max {
		return nil
	}
	victim = c.choose(conn)
	delete(c.open, victim)
	return victim
}

// choose returns the connection to close in favour of a new one.
func (c *connections) choose(newest net.Conn) net.Conn {
	count := map[string]int{}
	for conn, one := range c.open {
		if conn != newest {
			count[one.source]++
		}
	}
	worse := func(a, b *connection) bool {
		switch {
		case count[a.source] != count[b.source]:
			return count[a.source] > count[b.source]
		case a.active != b.active:
			return b.active
		}
		return a.turn < b.turn
	}
	var victim net.Conn
	for conn, one := range c.open {
		if conn != newest && (victim == nil || worse(one, c.open[victim])) {
			victim = conn
		}
	}
	return victim
}

func sourceOf(conn net.Conn) string {
	address := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
