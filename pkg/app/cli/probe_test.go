// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		authorizer http.HandlerFunc
		code       int
		says       string
	}{
		"one that denies":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 0, "0 got in"},
		"one that lets everybody in":     {func(http.ResponseWriter, *http.Request) {}, 1, "GET /: 200: it lets in requests that bring nothing"},
		"one that counts as denied only": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, 1, "GET /: 202"},
		"one that trusts an agent": {func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() != "kube-probe/1.37" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}, 1, "GET / with User-Agent: kube-probe/1.37: 200: the User-Agent of a health check gets in (GHSA-5hvv-m4w4-gf6v)"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.authorizer)
			t.Cleanup(server.Close)
			code, stdout, stderr := run(t, "", "probe", server.URL, "--open", "/public")
			assert.Equal(t, tc.code, code, stderr)
			assert.Contains(t, stdout, tc.says)
		})
	}
}

func TestProbeOfNobodyIsNoSuccess(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	code, stdout, stderr := run(t, "", "probe", server.URL)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "nothing is known about it")
	for _, args := range [][]string{{"probe", "https://x"}, {"probe", "http://me:secret@x"}, {"probe", "http://x/verify"}, {"probe", "http://x", "--open", "public"}, {"probe", "http://x", "-o", "xml"}, {"probe"}} {
		code, _, stderr := run(t, "", args...)
		assert.Equal(t, 2, code, args)
		assert.NotContains(t, stderr, "secret")
	}
}
