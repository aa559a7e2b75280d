// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// open is a connection from somewhere that knows whether it was closed.
type openConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *openConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 1}
}

func (c *openConn) Close() error {
	c.closed = true
	return nil
}

func TestConnectionsThatHaveToGo(t *testing.T) {
	const flood, server = "10.0.0.1", "10.0.0.2"
	cases := map[string]struct {
		open    []string // address and state, oldest first
		newest  string
		victims []int
	}{
		"there is room": {open: []string{flood + " idle"}, newest: flood},
		"the oldest of the address that has most": {open: []string{server + " idle", flood + " idle", flood + " idle"}, newest: server, victims: []int{1}},
		"an unused one before a used one":         {open: []string{flood + " active", flood + " idle", flood + " new"}, newest: flood, victims: []int{1}},
		"a used one where all are used":           {open: []string{flood + " active", flood + " active", server + " active"}, newest: flood, victims: []int{0}},
		"never the newest":                        {open: []string{flood + " active", "10.0.0.3 active", "10.0.0.4 active"}, newest: server, victims: []int{0}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bounded := newConnections(3)
			var open []*openConn
			for _, text := range tc.open {
				var from, state string
				_, err := fmt.Sscan(text, &from, &state)
				require.NoError(t, err)
				conn := &openConn{from: from}
				open = append(open, conn)
				bounded.changed(conn, http.StateNew)
				if state != "new" {
					bounded.changed(conn, http.StateActive)
				}
				if state == "idle" {
					bounded.changed(conn, http.StateIdle)
				}
			}
			newest := &openConn{from: tc.newest}
			bounded.changed(newest, http.StateNew)
			var closed []int
			for i, conn := range open {
				if conn.closed {
					closed = append(closed, i)
				}
			}
			assert.Equal(t, tc.victims, closed)
			assert.False(t, newest.closed)
			assert.LessOrEqual(t, len(bounded.open), 3)
		})
	}
}

func TestConnectionsThatAreClosedAreForgotten(t *testing.T) {
	bounded := newConnections(3)
	for range 100 {
		conn := &openConn{from: "10.0.0.1"}
		bounded.changed(conn, http.StateNew)
		bounded.changed(conn, http.StateClosed)
		require.False(t, conn.closed, "somebody else closed it")
	}
	assert.Empty(t, bounded.open)
}
