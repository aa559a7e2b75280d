// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// bodyLimit bounds what a verdict keeps of the authorizer's body.
const bodyLimit = 4 << 10

// headerLimit bounds the head of an answer; it is Envoy's default,
// max_request_headers_kb, with room for the body a verdict keeps.
const headerLimit = 64 << 10

// Verdict is what the filter makes of an authorizer's answer.
type Verdict struct {
	// Allowed says whether the request goes on to the workload.
	Allowed bool
	// Status is what the client sees of a denied request: the authorizer's own
	// status, or 403 after an error or a 5xx. It is 200 for an allowed one.
	Status int
	// AuthorizerStatus is the authorizer's own status; 0 if no answer came.
	AuthorizerStatus int
	// Upstream are headers the workload gets in addition, when allowed.
	Upstream http.Header
	// Downstream are headers the client gets from the authorizer.
	Downstream http.Header
	// Body is the start of the authorizer's body, which the client gets when
	// the request is denied.
	Body []byte
	// Reason is a sentence about the verdict, without any header value.
	Reason string
	// Err is why no answer came, nil if one did.
	Err error
}

// Asker asks authorizers. Its zero value connects to the authorizer's own
// address.
type Asker struct {
	// Dial makes the connection to an authorizer's host and port; nil means
	// the network. It is where a port forward or a cluster IP comes in.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Host is the Host header of the check instead of the client's host; empty means
	// that one. Envoy chooses the authorizer by its configuration, but a sidecar
	// beside whoever asks chooses by Host, and knows the authorizer's only.
	Host string
}

// Ask asks an authorizer about a request. The error is about the arguments:
// nothing was asked. An authorizer that cannot be reached, is too slow or does
// not speak HTTP yields a verdict, since it does in Envoy as well: 403, because
// Kyma offers neither failOpen nor statusOnError.
func (k Asker) Ask(ctx context.Context, a Authorizer, r Request) (Verdict, error) {
	check, err := NewCheck(a, r)
	if err != nil {
		return Verdict{}, fmt.Errorf("building the check request: %w", err)
	}
	if k.Host != "" {
		check.Authority = k.Host
	}
	timeout := a.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, body, err := k.exchange(ctx, a.Address(), check) //nolint:bodyclose // exchange has read the body and closed the connection
	if err != nil {
		return failed(a, err), nil
	}
	return judge(a, resp, body), nil
}

// exchange sends one check over a connection of its own and reads the answer.
func (k Asker) exchange(ctx context.Context, address string, check Check) (*http.Response, []byte, error) {
	dial := k.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, nil, because(ctx, err)
	}
	// Closing is how a blocked read or write learns that the context has ended.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = conn.Close()
	}()
	if _, err := check.WriteTo(conn); err != nil {
		return nil, nil, because(ctx, fmt.Errorf("sending the check: %w", err))
	}
	reader := bufio.NewReader(io.LimitReader(conn, headerLimit))
	resp, err := readResponse(reader, check.Method)
	if err != nil {
		return nil, nil, because(ctx, fmt.Errorf("reading the answer: %w", err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return nil, nil, because(ctx, fmt.Errorf("reading the answer's body: %w", err))
	}
	return resp, body, nil
}

// readResponse reads the final answer, past any 1xx before it.
func readResponse(reader *bufio.Reader, method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// because prefers the context's reason to what it did to the connection.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// failed is the verdict without an answer.
func failed(a Authorizer, err error) Verdict {
	reason := fmt.Sprintf("the authorizer at %s could not be asked (%v), which Envoy answers with 403", a.Address(), err)
	if errors.Is(err, context.DeadlineExceeded) {
		reason = fmt.Sprintf("the authorizer at %s did not answer in time, which Envoy answers with 403", a.Address())
	}
	return Verdict{Status: http.StatusForbidden, Reason: reason, Err: err}
}

// judge is the verdict on an answer (Envoy, ext_authz_http_impl.cc, toResponse).
func judge(a Authorizer, resp *http.Response, body []byte) Verdict {
	v := Verdict{AuthorizerStatus: resp.StatusCode, Status: resp.StatusCode, Body: body}
	switch {
	case resp.StatusCode == http.StatusOK:
		v.Allowed = true
		v.Reason = "the authorizer answered 200"
		v.Upstream = pick(resp.Header, func(name string) bool { return matchesAny(a.UpstreamOnAllow, name) })
		v.Downstream = pick(resp.Header, func(name string) bool { return matchesAny(a.DownstreamOnAllow, name) })
	case resp.StatusCode >= 500:
		v.Status = http.StatusForbidden
		v.Body = nil
		v.Reason = fmt.Sprintf("the authorizer answered %d, which Envoy treats as an error and answers with 403", resp.StatusCode)
	default:
		v.Reason = fmt.Sprintf("the authorizer answered %d, and only 200 allows", resp.StatusCode)
		v.Downstream = pick(resp.Header, func(name string) bool {
			// Envoy answers with a reply of its own, which says nothing of a body that it has not.
			return toClientOnDeny(a.DownstreamOnDeny, name) && (len(body) > 0 || !strings.EqualFold(name, "content-type"))
		})
	}
	return v
}

// toClientOnDeny selects what a denied client gets: everything but Host without
// a list, else the list and a few more (Envoy, ext_authz.proto,
// AuthorizationResponse.allowed_client_headers).
func toClientOnDeny(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return !strings.EqualFold(name, "host")
	}
	switch strings.ToLower(name) {
	case "content-length", "www-authenticate", "location":
		return true
	}
	return matchesAny(patterns, name)
}

// pick copies the headers that are wanted; nil if there are none.
func pick(from http.Header, wanted func(name string) bool) http.Header {
	var picked http.Header
	for name, values := range from {
		if wanted(name) {
			if picked == nil {
				picked = http.Header{}
			}
			picked[name] = append([]string(nil), values...)
		}
	}
	return picked
}
