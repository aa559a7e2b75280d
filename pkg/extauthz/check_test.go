// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewCheck(t *testing.T) {
	// The entry of Kyma's authorization-code tutorial (api-gateway 3.10,
	// expose-workload-extauth-authorization-code.md).
	tutorial := Authorizer{
		Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: "/verify?original=",
		IncludeHeaders: []string{"authorization", "cookie", "x-forwarded-for"},
		AddHeaders:     map[string]string{"x-forwarded-uri": "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%"},
	}
	with := func(change func(*Authorizer)) Authorizer {
		a := tutorial
		change(&a)
		return a
	}
	request := Request{
		Method: "POST", Authority: "shop.example.com", Path: "/a/../b//c?x=%2F&y",
		Header: http.Header{
			"Authorization": {"Bearer t"}, "Cookie": {"a=1", "b=2"}, "X-Forwarded-For": {"10.0.0.1"},
			"Accept": {"*/*"}, "Content-Length": {"77"}, "X-Request-Id": {"7"}, "Connection": {"upgrade"},
		},
	}
	for name, tc := range map[string]struct {
		authorizer Authorizer
		request    Request
		want       Check
		wantErr    string
	}{
		"the tutorial's entry": {
			authorizer: tutorial, request: request,
			want: Check{
				Method: "POST", Authority: "shop.example.com", Path: "/verify?original=/a/../b//c?x=%2F&y",
				Headers: []Header{
					{"authorization", "Bearer t"},
					{"content-length", "0"},
					{"cookie", "a=1,b=2"},
					{"x-forwarded-for", "10.0.0.1"},
					{"x-forwarded-uri", "https://shop.example.com/a/../b//c?x=%2F&y"},
				},
			},
		},
		"without any list authorization goes along all the same": {
			authorizer: Authorizer{Service: "a", Port: 80}, request: request,
			want: Check{
				Method: "POST", Authority: "shop.example.com", Path: "/a/../b//c?x=%2F&y",
				Headers: []Header{{"authorization", "Bearer t"}, {"content-length", "0"}},
			},
		},
		"prefix and suffix patterns ignore case": {
			authorizer: Authorizer{Service: "a", Port: 80, IncludeHeaders: []string{"X-Req*", "*-FOR"}}, request: request,
			want: Check{
				Method: "POST", Authority: "shop.example.com", Path: "/a/../b//c?x=%2F&y",
				Headers: []Header{{"authorization", "Bearer t"}, {"content-length", "0"}, {"x-forwarded-for", "10.0.0.1"}, {"x-request-id", "7"}},
			},
		},
		"a lone star takes all but what belongs to the connection": {
			authorizer: Authorizer{Service: "a", Port: 80, IncludeHeaders: []string{"*"}}, request: request,
			want: Check{
				Method: "POST", Authority: "shop.example.com", Path: "/a/../b//c?x=%2F&y",
				Headers: []Header{
					{"accept", "*/*"},
					{"authorization", "Bearer t"},
					{"content-length", "0"},
					{"cookie", "a=1,b=2"},
					{"x-forwarded-for", "10.0.0.1"},
					{"x-request-id", "7"},
				},
			},
		},
		"an added header replaces the client's": {
			authorizer: Authorizer{Service: "a", Port: 80, IncludeHeaders: []string{"x-request-id"}, AddHeaders: map[string]string{"X-Request-ID": "ours"}}, request: request,
			want: Check{
				Method: "POST", Authority: "shop.example.com", Path: "/a/../b//c?x=%2F&y",
				Headers: []Header{{"authorization", "Bearer t"}, {"content-length", "0"}, {"x-request-id", "ours"}},
			},
		},
		"an added header that is empty is not added": {
			authorizer: Authorizer{Service: "a", Port: 80, AddHeaders: map[string]string{"x-tenant": "%REQ(x-tenant)%"}},
			request:    Request{Authority: "h", Path: "/"},
			want:       Check{Method: "GET", Authority: "h", Path: "/", Headers: []Header{{"content-length", "0"}}},
		},
		"no service":                  {authorizer: Authorizer{Port: 80}, request: request, wantErr: "service is empty"},
		"no port":                     {authorizer: Authorizer{Service: "a"}, request: request, wantErr: "port 0 is not between"},
		"a prefix without a slash":    {authorizer: with(func(a *Authorizer) { a.PathPrefix = "verify" }), request: request, wantErr: `pathPrefix "verify" does not start with a slash`},
		"a line break in the prefix":  {authorizer: with(func(a *Authorizer) { a.PathPrefix = "/ HTTP/1.1\r\nx: y" }), request: request, wantErr: "pathPrefix"},
		"a star in the middle":        {authorizer: with(func(a *Authorizer) { a.IncludeHeaders = []string{"x-*-y"} }), request: request, wantErr: "a star is allowed once"},
		"two stars":                   {authorizer: with(func(a *Authorizer) { a.UpstreamOnAllow = []string{"*x*"} }), request: request, wantErr: "a star is allowed once"},
		"another Envoy command":       {authorizer: with(func(a *Authorizer) { a.AddHeaders = map[string]string{"x": "%PROTOCOL%"} }), request: request, wantErr: "%PROTOCOL% is not understood here"},
		"a percent sign alone":        {authorizer: with(func(a *Authorizer) { a.AddHeaders = map[string]string{"x": "100%"} }), request: request, wantErr: "a % without its partner"},
		"an added header's bad name":  {authorizer: with(func(a *Authorizer) { a.AddHeaders = map[string]string{"x y": "z"} }), request: request, wantErr: `header "x y" cannot be added`},
		"an added header's bad value": {authorizer: with(func(a *Authorizer) { a.AddHeaders = map[string]string{"x": "a\r\nb: c"} }), request: request, wantErr: `header "x" cannot be added`},
		"a line break in the path":    {authorizer: tutorial, request: Request{Authority: "h", Path: "/ HTTP/1.1\r\nx: y"}, wantErr: "does not start with a slash or has a blank"},
		"a path without a slash":      {authorizer: tutorial, request: Request{Authority: "h", Path: "a"}, wantErr: "does not start with a slash"},
		"a line break in a header":    {authorizer: tutorial, request: Request{Authority: "h", Path: "/", Header: http.Header{"Cookie": {"fine", "a\r\nb: c"}}}, wantErr: `header "Cookie" has a name or a value`},
		"a method that is no token":   {authorizer: tutorial, request: Request{Method: "GET /", Authority: "h", Path: "/"}, wantErr: "is not a token"},
		"no authority":                {authorizer: tutorial, request: Request{Path: "/"}, wantErr: `authority "" is not a host name`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewCheck(tc.authorizer, tc.request)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}
}

func TestWriteTo(t *testing.T) {
	check, err := NewCheck(Authorizer{Service: "a", Port: 80, PathPrefix: "/verify?original="},
		Request{Authority: "shop.example.com", Path: "//x?y", Header: http.Header{"Authorization": {"Bearer t"}}})
	require.NoError(t, err)
	var b strings.Builder
	n, err := check.WriteTo(&b)
	require.NoError(t, err)
	assert.EqualValues(t, b.Len(), n)
	assert.Equal(t, "GET /verify?original=//x?y HTTP/1.1\r\nHost: shop.example.com\r\nauthorization: Bearer t\r\ncontent-length: 0\r\n\r\n", b.String())
}

func TestExpand(t *testing.T) {
	r := Request{Method: "PUT", Scheme: "http", Authority: "h:8080", Path: "/p?q", Header: http.Header{"X-A": {"one", "two"}, "X-Empty": {""}}}
	for name, tc := range map[string]struct{ format, want, wantErr string }{
		"plain text":                       {format: "plain", want: "plain"},
		"nothing":                          {},
		"pseudo-headers":                   {format: "%REQ(:method)% %REQ(:scheme)%://%REQ(:authority)%%REQ(:path)%", want: "PUT http://h:8080/p?q"},
		"names ignore case":                {format: "%REQ(:AUTHORITY)% %REQ(x-a)%", want: "h:8080 one"},
		"the alternative":                  {format: "%REQ(x-b?x-a)%", want: "one"},
		"an empty header is present":       {format: "<%REQ(x-empty?x-a)%>", want: "<>"},
		"neither":                          {format: "<%REQ(x-b?x-c)%>", want: "<>"},
		"a length":                         {format: "%REQ(:path):2%|%REQ(:path):99%", want: "/p|/p?q"},
		"percent signs":                    {format: "100%%%REQ(x-a)%%%", want: "100%one%"},
		"an unknown command":               {format: "%RESP(x)%", wantErr: "is not understood"},
		"no name":                          {format: "%REQ()%", wantErr: "give one header name"},
		"two alternatives":                 {format: "%REQ(a?b?c)%", wantErr: "at most one alternative"},
		"a parenthesis too few":            {format: "%REQ(a%", wantErr: "is not understood"},
		"a tail that is no length":         {format: "%REQ(a)x%", wantErr: "only :LENGTH may follow"},
		"a length that is no number":       {format: "%REQ(a):b%", wantErr: "only :LENGTH may follow"},
		"a command that is never finished": {format: "x%REQ(a)", wantErr: "without its partner"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := expand(tc.format, r)
			if tc.wantErr != "" {
				require.ErrorContains(t, err, tc.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

// Whatever a pattern and a request hold, a check that is built is one request,
// with the headers it says and no others.
func FuzzNewCheck(f *testing.F) {
	f.Add("x-forwarded-uri", "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%", "x*", "/verify?original=", "/a", "cookie", "a=1")
	f.Add("x", "%REQ(x):1%%%", "*", "/", "//x", "x", "1\r\ny: z")
	f.Add("x", "y", "*", "/ HTTP/1.1\r\nx: y", "/", "x", "y")
	f.Add("", "%", "*-for", "", "/ HTTP/1.1\r\n\r\n", "transfer-encoding", "chunked")
	f.Fuzz(func(t *testing.T, addName, addValue, pattern, prefix, path, name, value string) {
		check, err := NewCheck(
			Authorizer{Service: "a", Port: 80, PathPrefix: prefix, IncludeHeaders: []string{pattern}, AddHeaders: map[string]string{addName: addValue}},
			Request{Authority: "shop.example.com", Path: path, Header: http.Header{name: {value}}})
		if err != nil {
			return
		}
		var b strings.Builder
		_, err = check.WriteTo(&b)
		require.NoError(t, err)
		reader := bufio.NewReader(strings.NewReader(b.String()))
		lines := 0
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				break
			}
			lines++
			require.True(t, strings.HasSuffix(line, "\r\n"), "a line ends with a bare line feed")
		}
		require.Equal(t, len(check.Headers)+3, lines, "request line, Host, headers and the empty line")
	})
}
