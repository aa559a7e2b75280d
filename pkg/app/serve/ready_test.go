// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The API server's connection is of HTTP/2, where there is no header for this.
func TestClientsLeaveAServerThatDrains(t *testing.T) {
	ready := &readiness{}
	server := httptest.NewUnstartedServer(ready.leaving(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	defer server.Close()
	reused := func() bool {
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := server.Client().Do(request)
		require.NoError(t, err)
		require.Equal(t, 2, response.ProtoMajor)
		require.NoError(t, response.Body.Close())
		return reused
	}
	require.False(t, reused())
	require.True(t, reused(), "as long as it serves, one connection is enough")
	ready.drain()
	reused() // the answer to this one says that it was the last
	assert.Eventually(t, func() bool { return !reused() }, 5*time.Second, 10*time.Millisecond)
}
