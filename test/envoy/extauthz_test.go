// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package envoy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

const (
	seed     = 20261130
	requests = 400
)

// authorizers differ in everything that an entry of the Istio CR can say.
func authorizers() []extauthz.Authorizer {
	base := extauthz.Authorizer{Service: "authz.authz.svc.cluster.local", Port: 80}
	with := func(change func(a *extauthz.Authorizer)) extauthz.Authorizer {
		a := base
		change(&a)
		return a
	}
	return []extauthz.Authorizer{
		base,
		with(func(a *extauthz.Authorizer) { a.PathPrefix = "/check" }),
		with(func(a *extauthz.Authorizer) { a.PathPrefix = "/verify?original=" }),
		with(func(a *extauthz.Authorizer) {
			a.IncludeHeaders = []string{"cookie", "X-User-*", "*-trace"}
			a.UpstreamOnAllow = []string{"authorization", "x-auth-request-*"}
		}),
		with(func(a *extauthz.Authorizer) {
			a.PathPrefix, a.IncludeHeaders = "/check", []string{"authorization", "cookie", "accept", "x-forwarded-for"}
			a.AddHeaders = map[string]string{"x-fixed": "on", "X-Forwarded-Uri": "%REQ(:PATH)%", "x-forwarded-method": "%REQ(:METHOD)%", "accept": "application/json"}
			a.UpstreamOnAllow = []string{"x-auth-request-user", "x-auth-request-email"}
			a.DownstreamOnAllow = []string{"set-cookie"}
			a.DownstreamOnDeny = []string{"content-type", "set-cookie"}
		}),
		with(func(a *extauthz.Authorizer) {
			a.DownstreamOnDeny = []string{"x-note"}
			a.AddHeaders = map[string]string{"x-user": "%REQ(X-USER-NAME?X-USER-ID):4%", "x-percent": "100%%"}
		}),
	}
}

// reply is what the authorizer answers to a request that carries its number.
type reply struct {
	status int
	header http.Header
	body   string
}

// check is what an authorizer was asked.
type check struct {
	Method, Host, Target string
	Header               map[string]string
}

// world is the two servers behind Envoy, and what they saw.
type world struct {
	mu       sync.Mutex
	replies  map[string]reply
	checks   []check
	upstream http.Header
}

func (w *world) authorize(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := check{r.Method, r.Host, r.RequestURI, map[string]string{}}
	for name, each := range r.Header {
		// Envoy's HTTP client adds these for itself.
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, "x-envoy-") {
			seen.Header[lower] = strings.Join(each, ",")
		}
	}
	w.checks = append(w.checks, seen)
	_, number, _ := strings.Cut(r.RequestURI, "reply-")
	number, _, _ = strings.Cut(number, "-")
	answer := w.replies[number]
	maps.Copy(out.Header(), answer.header)
	out.WriteHeader(answer.status)
	_, _ = io.WriteString(out, answer.body)
}

func (w *world) serve(out http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.upstream = r.Header.Clone()
	_, _ = io.WriteString(out, "the application's body")
}

// forget empties what was seen and returns it.
func (w *world) forget() ([]check, http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	checks, upstream := w.checks, w.upstream
	w.checks, w.upstream = nil, nil
	return checks, upstream
}

// TestVerdicts sends generated requests through Envoy, and asks pkg/extauthz about
// each of them: the check on the wire, the verdict, and the headers both ways have
// to be the same.
func TestVerdicts(t *testing.T) {
	w := &world{replies: map[string]reply{}}
	authorizer, application := httptest.NewServer(http.HandlerFunc(w.authorize)), httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(authorizer.Close)
	t.Cleanup(application.Close)
	all := authorizers()
	addresses := start(t, all, authorizer.Listener.Addr(), application.Listener.Addr())
	asker := extauthz.Asker{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, authorizer.Listener.Addr().String())
	}}
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // the same requests every time
	allowed, differences := 0, 0
	for i := range requests {
		at := i % len(all)
		number := strconv.Itoa(i)
		w.replies[number] = anyReply(random)
		request := anyRequest(random, number)
		got := through(t, addresses[at], request)
		checks, upstream := w.forget()
		verdict, err := asker.Ask(t.Context(), all[at], request)
		require.NoError(t, err)
		wanted, _ := w.forget()
		difference := compare(checks, wanted, got, verdict, upstream, w.replies[number], request)
		if !assert.Empty(t, difference, "request %d, authorizer %d: %+v, reply %+v (-pkg/extauthz +Envoy)", i, at, request, w.replies[number]) {
			differences++
		}
		if verdict.Allowed {
			allowed++
		}
	}
	require.Positive(t, allowed)
	require.Less(t, allowed, requests)
	t.Logf("%d requests with seed %d, %d authorizers: %d allowed, %d differences", requests, seed, len(all), allowed, differences)
}

// answer is what a client gets.
type answer struct {
	Status int
	Header map[string]string
	Body   string
}

// compare returns how Envoy differs from pkg/extauthz.
func compare(checks, wanted []check, got answer, verdict extauthz.Verdict, upstream http.Header, from reply, request extauthz.Request) string {
	difference := cmp.Diff(wanted, checks)
	expected := answer{Status: verdict.Status, Header: map[string]string{}, Body: "the application's body"}
	if !verdict.Allowed {
		expected.Body = string(verdict.Body)
	}
	if request.Method == http.MethodHead {
		expected.Body = ""
	}
	for name, each := range verdict.Downstream {
		expected.Header[strings.ToLower(name)] = strings.Join(each, ",")
	}
	// Framing and what servers say of themselves is not the filter's.
	for _, name := range []string{"content-length", "date", "server", "connection", "transfer-encoding", "x-envoy-upstream-service-time"} {
		delete(expected.Header, name)
		delete(got.Header, name)
	}
	if strings.HasPrefix(got.Header["content-type"], "text/plain") { // made up by Envoy or by net/http
		delete(expected.Header, "content-type")
		delete(got.Header, "content-type")
	}
	difference += cmp.Diff(expected, got)
	if !verdict.Allowed {
		if upstream != nil {
			difference += "the application got a request that pkg/extauthz says is denied"
		}
		return difference
	}
	sent, received := map[string]string{}, map[string]string{}
	for name := range from.header {
		sent[name], received[name] = strings.Join(request.Header.Values(name), ","), strings.Join(upstream.Values(name), ",")
		if picked := verdict.Upstream.Values(name); len(picked) > 0 {
			sent[name] = strings.Join(picked, ",")
		}
	}
	return difference + cmp.Diff(sent, received)
}

// through sends a request to Envoy exactly as it is.
func through(t *testing.T, address string, request extauthz.Request) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", request.Method, request.Path, request.Authority)
	require.NoError(t, request.Header.Write(&text))
	_, err = io.WriteString(conn, text.String()+"\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: request.Method})
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	got := answer{response.StatusCode, map[string]string{}, string(body)}
	for name, each := range response.Header {
		got.Header[strings.ToLower(name)] = strings.Join(each, ",")
	}
	return got
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

func anyReply(random *rand.Rand) reply {
	made := reply{pick(random, 200, 200, 200, 200, 201, 202, 301, 302, 400, 401, 401, 403, 404, 429, 500, 503), http.Header{}, pick(random, "", "the authorizer's body", `{"error": "denied"}`)}
	for _, each := range [][2]string{
		{"X-Auth-Request-User", "ann"},
		{"X-Auth-Request-Email", "ann@example.com"},
		{"Authorization", "Bearer other"},
		{"Set-Cookie", "session=1; Path=/"},
		{"X-Note", "note"},
		{"Content-Type", "application/json"},
		{"Location", "https://sso.example.com/start?rd=%2F"},
		{"Www-Authenticate", "Bearer"},
		{"Gap-Auth", "ann"},
	} {
		if random.IntN(2) == 0 {
			made.header[each[0]] = []string{each[1]}
		}
	}
	return made
}

func anyRequest(random *rand.Rand, number string) extauthz.Request {
	request := extauthz.Request{
		Method: pick(random, "GET", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"), Scheme: "http",
		Authority: pick(random, "shop.example.com", "shop.example.com:443", "SHOP.example.com", "10.1.2.3"),
		Header:    http.Header{"X-Forwarded-Proto": {"http"}, "Content-Length": {"0"}},
	}
	request.Path = pick(random, "/", "/a/b", "//x", "/a/../b", "/%2e%2e/c", "/a;b=c", "/ping", "/oauth2/sign_in", "/a%20b", "/%C3%BC") + "/reply-" + number + "-" +
		pick(random, "", "?a=b", "?allowed_groups=x&rd=https://evil.example.com", "?q=%26%3D;x&r=%zz", "?", "?a=?b")
	pool := []struct {
		name   string
		values []string
	}{
		{"Authorization", []string{"Bearer a.b.c"}},
		{"Authorization", []string{"bearer x"}},
		{"Cookie", []string{"a=1; b=2"}},
		{"Accept", []string{"text/html"}},
		{"Accept", []string{"a/b", "c/d"}},
		{"X-User-Id", []string{"12345678"}},
		{"X-User-Name", []string{"ann"}},
		{"X-User-Name", []string{"ann", "bob"}},
		{"X-Forwarded-For", []string{"1.2.3.4"}},
		{"My-Trace", []string{"on"}},
		{"X-Auth-Request-User", []string{"admin"}},
		{"X-Auth-Request-Email", []string{"root@example.com"}},
		{"X-Note", []string{"from the client"}},
		{"Content-Type", []string{"application/json"}},
	}
	for range random.IntN(7) {
		each := pick(random, pool...)
		request.Header[each.name] = each.values
	}
	return request
}
