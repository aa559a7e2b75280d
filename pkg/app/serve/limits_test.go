// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	guard "github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/clientcert"
)

// started starts a manager and returns the address of its webhooks.
func started(t *testing.T, settings guard.WebhookConfig) string {
	t.Helper()
	manager, err := NewManager(emptyCluster(t), settings, logr.Discard())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool {
		status, _ := get(http.DefaultClient, "http://"+settings.Probes.Address+"/readyz")
		return status == http.StatusOK
	}, 30*time.Second, 5*time.Millisecond)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))
}

func dial(t *testing.T, address string, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	config.InsecureSkipVerify = true
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() }) // the other side may have closed it
	return conn.(*tls.Conn), nil
}

func TestWhatTheServerTakes(t *testing.T) {
	settings := localSettings(t)
	settings.Server.ShutdownDelay.Duration = 0
	address := started(t, settings)

	t.Run("no TLS below 1.3", func(t *testing.T) {
		_, err := dial(t, address, &tls.Config{MaxVersion: tls.VersionTLS12}) //nolint:gosec // what must be refused
		require.ErrorContains(t, err, "protocol version not supported")
		conn, err := dial(t, address, &tls.Config{})
		require.NoError(t, err)
		assert.Equal(t, uint16(tls.VersionTLS13), conn.ConnectionState().Version)
	})
	t.Run("no body above 7 MiB", func(t *testing.T) {
		asked, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+"/mutate-apirule", strings.NewReader(strings.Repeat(" ", 8<<20)))
		require.NoError(t, err)
		asked.Header.Set("Content-Type", "application/json")
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the loopback
		t.Cleanup(client.CloseIdleConnections)
		answer, err := client.Do(asked)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		assert.Contains(t, string(body), "the body is larger than")
	})
	t.Run("no more than 100 streams on a connection", func(t *testing.T) {
		framer := overHTTP2(t, address)
		for {
			frame, err := framer.ReadFrame()
			require.NoError(t, err)
			if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
				streams, ok := settings.Value(http2.SettingMaxConcurrentStreams)
				require.True(t, ok, "there is a limit")
				assert.LessOrEqual(t, streams, uint32(maxStreams))
				return
			}
		}
	})
	t.Run("no flood of streams that are reset", func(t *testing.T) {
		framer := overHTTP2(t, address)
		ended := make(chan string, 1)
		go func() {
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					ended <- "hung up"
					return
				}
				switch frame := frame.(type) {
				case *http2.GoAwayFrame:
					ended <- frame.ErrCode.String()
					return
				case *http2.PingFrame:
					ended <- "kept up"
					return
				}
			}
		}()
		head := headers(t, address)
		for stream := uint32(1); stream < 1<<16; stream += 2 {
			// The body never comes, so a handler runs until its stream is reset.
			if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndHeaders: true}) != nil ||
				framer.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
				break // it has hung up
			}
		}
		_ = framer.WritePing(false, [8]byte{}) // it may have hung up
		// A server that ends the handlers as fast as they are reset has no reason to.
		assert.Contains(t, []string{"ENHANCE_YOUR_CALM", "hung up", "kept up"}, <-ended)
		status, _ := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, //nolint:gosec // the loopback
			"https://"+address+"/mutate-apirule")
		assert.Equal(t, http.StatusOK, status, "others are still answered")
	})
	t.Run("no body that takes its time", func(t *testing.T) {
		conn, err := dial(t, address, &tls.Config{})
		require.NoError(t, err)
		begun := time.Now()
		_, err = io.WriteString(conn, "POST /mutate-apirule HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn) // until the server hangs up
		require.NoError(t, err)
		assert.NotContains(t, string(answer), `"allowed":true`)
		assert.Less(t, time.Since(begun), requestTime+20*time.Second, "the limit, and a slow machine")
		assert.GreaterOrEqual(t, time.Since(begun), requestTime-time.Second)
	})
}

func overHTTP2(t *testing.T, address string) *http2.Framer {
	t.Helper()
	conn, err := dial(t, address, &tls.Config{NextProtos: []string{"h2"}})
	require.NoError(t, err)
	require.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	require.NoError(t, framer.WriteSettings())
	return framer
}

func headers(t *testing.T, address string) []byte {
	t.Helper()
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: address},
		{Name: ":path", Value: "/mutate-apirule"},
		{Name: "content-type", Value: "application/json"},
	} {
		field.Sensitive = true // no entry in a table, so that each block is the same
		require.NoError(t, encoder.WriteField(field))
	}
	return []byte(block.String())
}

func TestOnlyClientsWithACertificateAreAnswered(t *testing.T) {
	authority, other := newAuthority(t), newAuthority(t)
	settings := localSettings(t)
	settings.Server.ShutdownDelay.Duration = 0
	settings.Server.ClientCA = filepath.Join(t.TempDir(), "ca.crt")
	settings.Server.ClientNames = []string{"kube-apiserver"}
	require.NoError(t, os.WriteFile(settings.Server.ClientCA, authority.PEM(), 0o600))
	address := started(t, settings)
	ask := func(certificates ...tls.Certificate) (int, string) {
		return get(&http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}, //nolint:gosec // what is looked at is the other direction
		}}, "https://"+address+"/validate-apirule")
	}

	status, body := ask(signed(t, authority, "kube-apiserver"))
	assert.Equal(t, http.StatusOK, status, body)
	status, body = ask()
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, body, "this webhook answers only clients with a certificate")
	status, body = ask(signed(t, authority, "kubelet"))
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, body, `does not answer the client "kubelet"`)
	status, body = ask(signed(t, other, "kube-apiserver"))
	assert.Zero(t, status, "no handshake with a certificate of somebody else: %s", body)

	require.NoError(t, os.WriteFile(settings.Server.ClientCA, other.PEM(), 0o600))
	status, body = ask(signed(t, other, "kube-apiserver"))
	assert.Equal(t, http.StatusOK, status, "another authority needs no restart: %s", body)
	require.NoError(t, os.Remove(settings.Server.ClientCA))
	status, _ = ask(signed(t, other, "kube-apiserver"))
	assert.Zero(t, status, "without the file nobody gets in")
}

func TestAuthoritiesThatCannotBeRead(t *testing.T) {
	settings := localSettings(t)
	settings.Server.ClientCA = filepath.Join(t.TempDir(), "none")
	_, err := NewManager(emptyCluster(t), settings, logr.Discard())
	require.ErrorContains(t, err, "reading the certificate authorities of clients: open ")
	require.NoError(t, os.WriteFile(settings.Server.ClientCA, []byte("no PEM"), 0o600))
	_, err = NewManager(emptyCluster(t), settings, logr.Discard())
	require.ErrorContains(t, err, "none has no PEM certificate")
}

func newAuthority(t *testing.T) *clientcert.Authority {
	t.Helper()
	made, err := clientcert.NewAuthority("clients")
	require.NoError(t, err)
	return made
}

func signed(t *testing.T, by *clientcert.Authority, name string) tls.Certificate {
	t.Helper()
	certificate, key, err := by.Sign(name)
	require.NoError(t, err)
	pair, err := tls.X509KeyPair(certificate, key)
	require.NoError(t, err)
	return pair
}
