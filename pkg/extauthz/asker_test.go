// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askerOf routes every authorizer to one server.
func askerOf(server *httptest.Server) Asker {
	return Asker{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}}
}

func TestAsk(t *testing.T) {
	lists := Authorizer{
		Service: "ns/authz.ns.svc.cluster.local", Port: 80,
		UpstreamOnAllow: []string{"x-user*"}, DownstreamOnAllow: []string{"x-note"}, DownstreamOnDeny: []string{"*-cookie"},
	}
	plain := Authorizer{Service: "authz", Port: 80}
	answer := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
			for i := 0; i < len(headers); i += 2 {
				w.Header().Add(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "body")
		}
	}
	headers := []string{"X-User-Name", "me", "X-Note", "n", "Set-Cookie", "c", "Location", "/l", "Content-Type", "text/x"}
	for name, tc := range map[string]struct {
		authorizer Authorizer
		handler    http.HandlerFunc
		want       Verdict
	}{
		"200 allows, with the headers of the lists": {
			lists, answer(200, headers...),
			Verdict{
				Allowed: true, Status: 200, AuthorizerStatus: 200, Reason: "the authorizer answered 200", Body: []byte("body"),
				Upstream: http.Header{"X-User-Name": {"me"}}, Downstream: http.Header{"X-Note": {"n"}},
			},
		},
		"200 without lists passes no header on": {
			plain, answer(200, headers...),
			Verdict{Allowed: true, Status: 200, AuthorizerStatus: 200, Reason: "the authorizer answered 200", Body: []byte("body")},
		},
		"202 denies": {
			lists, answer(202),
			Verdict{Status: 202, AuthorizerStatus: 202, Reason: "the authorizer answered 202, and only 200 allows", Body: []byte("body"), Downstream: http.Header{"Content-Length": {"4"}}},
		},
		"401 denies, with the list and what Envoy adds to it": {
			lists, answer(401, headers...),
			Verdict{
				Status: 401, AuthorizerStatus: 401, Reason: "the authorizer answered 401, and only 200 allows", Body: []byte("body"),
				Downstream: http.Header{"Set-Cookie": {"c"}, "Location": {"/l"}, "Content-Length": {"4"}},
			},
		},
		"401 without a list passes everything on": {
			plain, answer(401, "X-Note", "n", "Content-Type", "text/x"),
			Verdict{
				Status: 401, AuthorizerStatus: 401, Reason: "the authorizer answered 401, and only 200 allows", Body: []byte("body"),
				Downstream: http.Header{"X-Note": {"n"}, "Content-Type": {"text/x"}, "Content-Length": {"4"}},
			},
		},
		"401 without a body says nothing of its type": {
			plain, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil
				w.Header().Set("Content-Type", "text/x")
				w.WriteHeader(http.StatusUnauthorized)
			},
			Verdict{
				Status: 401, AuthorizerStatus: 401, Reason: "the authorizer answered 401, and only 200 allows", Body: []byte{},
				Downstream: http.Header{"Content-Length": {"0"}},
			},
		},
		"a redirect is not followed": {
			lists, answer(302, "Location", "/ok"),
			Verdict{
				Status: 302, AuthorizerStatus: 302, Reason: "the authorizer answered 302, and only 200 allows", Body: []byte("body"),
				Downstream: http.Header{"Location": {"/ok"}, "Content-Length": {"4"}},
			},
		},
		"5xx is an error and a 403 for the client": {
			lists, answer(503, headers...),
			Verdict{Status: 403, AuthorizerStatus: 503, Reason: "the authorizer answered 503, which Envoy treats as an error and answers with 403"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			t.Cleanup(server.Close)
			got, err := askerOf(server).Ask(t.Context(), tc.authorizer, Request{Authority: "shop.example.com", Path: "/"})
			require.NoError(t, err)
			ignoreType := cmpopts.IgnoreMapEntries(func(k string, v []string) bool { return k == "Content-Type" && strings.HasPrefix(v[0], "text/plain") })
			assert.Empty(t, cmp.Diff(tc.want, got, ignoreType), "(-want +got)")
		})
	}
}

// What arrives is what was built: nothing is cleaned, added or left out.
func TestAskOnTheWire(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	t.Cleanup(server.Close)
	_, err := askerOf(server).Ask(t.Context(), Authorizer{Service: "authz", Port: 80, IncludeHeaders: []string{"cookie"}},
		Request{Method: "DELETE", Authority: "shop.example.com:8443", Path: "//a/../b?c=%zz", Header: http.Header{"Cookie": {"a=1"}, "User-Agent": {"curl"}}})
	require.NoError(t, err)
	assert.Equal(t, "DELETE", got.Method)
	assert.Equal(t, "shop.example.com:8443", got.Host)
	assert.Equal(t, "//a/../b?c=%zz", got.RequestURI)
	assert.Empty(t, cmp.Diff(http.Header{"Cookie": {"a=1"}, "Content-Length": {"0"}}, got.Header), "(-want +got)")
	assert.Zero(t, got.ContentLength)
}

// Whoever asks from inside of a mesh is led by Host; the authorizer still learns
// the client's host where its entry says so.
func TestAskByAnotherHost(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	t.Cleanup(server.Close)
	asker := askerOf(server)
	asker.Host = "authz.ns.svc.cluster.local"
	_, err := asker.Ask(t.Context(), Authorizer{Service: "authz", Port: 80, AddHeaders: map[string]string{"x-forwarded-host": "%REQ(:AUTHORITY)%"}},
		Request{Authority: "shop.example.com", Path: "/"})
	require.NoError(t, err)
	assert.Equal(t, "authz.ns.svc.cluster.local", got.Host)
	assert.Equal(t, "shop.example.com", got.Header.Get("X-Forwarded-Host"))
}

func TestAskWithoutAnAnswer(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(release) })
	garbage, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = garbage.Close() })
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-nope\r\n")
			_ = conn.Close()
		}
	}()
	broken := errors.New("no route")
	to := func(address string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	for name, tc := range map[string]struct {
		dial func(context.Context, string, string) (net.Conn, error)
		want string
	}{
		"unreachable": {func(context.Context, string, string) (net.Conn, error) { return nil, broken }, "the authorizer at authz:80 could not be asked (no route), which Envoy answers with 403"},
		"too slow":    {to(silent.Listener.Addr().String()), "the authorizer at authz:80 did not answer in time, which Envoy answers with 403"},
		"not HTTP":    {to(garbage.Addr().String()), "could not be asked (reading the answer:"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := Asker{Dial: tc.dial}.Ask(t.Context(), Authorizer{Service: "authz", Port: 80, Timeout: 200 * time.Millisecond}, Request{Authority: "h", Path: "/"})
			require.NoError(t, err)
			assert.False(t, v.Allowed)
			assert.Equal(t, http.StatusForbidden, v.Status)
			assert.Zero(t, v.AuthorizerStatus)
			require.Error(t, v.Err)
			assert.Contains(t, v.Reason, tc.want)
		})
	}
}

func TestAddress(t *testing.T) {
	assert.Equal(t, "a.b.svc:80", Authorizer{Service: "a.b.svc", Port: 80}.Address())
	assert.Equal(t, "a.b.svc:80", Authorizer{Service: "b/a.b.svc", Port: 80}.Address())
}

func TestAskRefusesBadArguments(t *testing.T) {
	_, err := Asker{}.Ask(t.Context(), Authorizer{}, Request{})
	require.ErrorContains(t, err, "building the check request: authorizer: service is empty")
}
