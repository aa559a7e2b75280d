// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build mesh

package node

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

const (
	verdictSeed = 20261130
	verdicts    = 240
)

// verdicts sends generated requests to the gateway and asks oauth2-proxy about each
// of them by pkg/extauthz, past the mesh: what it says is what the gateway answers.
func (c *cluster) verdicts(t *testing.T) {
	proxy := c.forward(t, "oauth2-proxy", "deployment/oauth2-proxy", 4180)
	asker := extauthz.Asker{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, proxy)
	}}
	authorizer := c.authorizer(t, "oauth2-proxy")
	random := rand.New(rand.NewPCG(verdictSeed, verdictSeed)) //nolint:gosec // the same requests every time
	tokens := []string{"", "garbage", c.token(t)}
	counted, differences := map[int]int{}, 0
	for range verdicts {
		r := anyRequest(random, tokens)
		header := r.header.Clone()
		if r.token != "" {
			header.Set("Authorization", "Bearer "+r.token)
		}
		verdict, err := asker.Ask(t.Context(), authorizer, extauthz.Request{Method: http.MethodGet, Authority: r.host, Path: r.path, Header: header})
		require.NoError(t, err)
		got, err := c.send(t.Context(), r)
		require.NoError(t, err)
		counted[got.status]++
		r.token, r.header = fmt.Sprintf("%d characters", len(r.token)), nil // tokens are not for logs
		if !assert.Equal(t, verdict.Status, got.status, "%+v: %s", r, verdict.Reason) {
			differences++
		}
		if !verdict.Allowed {
			assert.Equal(t, string(verdict.Body), got.body, "%+v", r)
		}
	}
	require.Positive(t, counted[http.StatusOK])
	require.Positive(t, counted[http.StatusUnauthorized])
	t.Logf("%d requests with seed %d: the gateway answered %v, %d differences", verdicts, verdictSeed, counted, differences)
}

func anyRequest(random *rand.Rand, tokens []string) request {
	choose := func(from ...string) string { return from[random.IntN(len(from))] }
	r := request{
		host: "demo.example.com", header: http.Header{}, token: choose(tokens...),
		path: choose("/", "/headers", "/ping", "/ready", "/robots.txt", "/oauth2/auth", "/oauth2/sign_in", "/oauth2/static/css/all.min.css", "/a/b;c=d", "/a%20b", "/%C3%BC", "/verify") +
			choose("", "?a=b", "?a=b&allowed_groups=admins", "?allowed_emails=ann@example.com&x=y", "?rd=https://evil.example.com", "?a=b&allowed_email_domains=example.org", "?q=%26%3D"),
	}
	for _, each := range [][2]string{
		{"Cookie", "_oauth2_proxy=forged"}, {"X-Forwarded-Uri", "/ping"}, {"X-Forwarded-Host", "evil.example.com"}, {"X-Auth-Request-User", "admin"},
	} {
		if random.IntN(4) == 0 {
			r.header.Set(each[0], each[1])
		}
	}
	return r
}

// authorizer reads an entry of the Istio CR as Envoy gets it.
func (c *cluster) authorizer(t *testing.T, name string) extauthz.Authorizer {
	t.Helper()
	cr, err := c.untyped.Resource(istios).Namespace("kyma-system").Get(t.Context(), "default", metav1.GetOptions{})
	require.NoError(t, err)
	all, _, err := unstructured.NestedSlice(cr.Object, "spec", "config", "authorizers")
	require.NoError(t, err)
	for _, each := range all {
		entry := each.(map[string]any)
		if entry["name"] != name {
			continue
		}
		list := func(fields ...string) []string {
			names, _, err := unstructured.NestedStringSlice(entry, append([]string{"headers"}, fields...)...)
			require.NoError(t, err)
			return names
		}
		add, _, err := unstructured.NestedStringMap(entry, "headers", "inCheck", "add")
		require.NoError(t, err)
		prefix, _ := entry["pathPrefix"].(string)
		return extauthz.Authorizer{
			Service: entry["service"].(string), Port: int(entry["port"].(int64)), PathPrefix: prefix, Timeout: patience,
			IncludeHeaders: list("inCheck", "include"), AddHeaders: add, UpstreamOnAllow: list("toUpstream", "onAllow"),
			DownstreamOnAllow: list("toDownstream", "onAllow"), DownstreamOnDeny: list("toDownstream", "onDeny"),
		}
	}
	require.FailNow(t, "the Istio CR has no authorizer "+name)
	return extauthz.Authorizer{}
}

// forward forwards a port of a Pod, past its sidecar, and returns the address here.
func (c *cluster) forward(t *testing.T, namespace, of string, port int) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, os.Getenv("EXTAUTH_KUBECTL"), "port-forward", "-n", namespace, of, fmt.Sprintf(":%d", port))
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		stop()
		_ = command.Wait() // it was killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "kubectl port-forward says nothing")
	found := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(line)
	require.NotEmpty(t, found, line)
	return found
}
