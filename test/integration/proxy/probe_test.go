// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/probe"
	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// TestProbe finds the holes that flags open, in the pinned version and in an older
// one, and nothing in what the job installs.
func TestProbe(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	headers := []string{"*"}
	for name, tc := range map[string]struct {
		version string
		args    []string
		prefix  string
		include []string
		open    []string
		want    []string // parts of the causes; none is no failure
	}{
		"the client-credentials flow":         {prefix: "/verify?original=", include: []string{"authorization", "x-forwarded-for"}},
		"the authorization-code flow":         {args: []string{"code"}, prefix: codePrefix, include: []string{"accept", "authorization", "cookie", "x-forwarded-for"}},
		"the same with every header":          {prefix: "/verify?original=", include: headers},
		"no prefix":                           {want: []string{"set a pathPrefix"}},
		"a route that matches the prefix":     {args: []string{"--skip-auth-route=^/verify"}, prefix: "/verify?original=", want: []string{"lets in requests that bring nothing"}},
		"a route and any peer":                {args: []string{"--skip-auth-route=^/public$"}, prefix: "/verify?original=", include: headers, want: []string{"GHSA-7x63-xv5r-3p2x"}},
		"preflights":                          {args: []string{"--skip-auth-preflight=true"}, prefix: "/verify?original=", want: []string{"--skip-auth-preflight"}},
		"7.15.3 with a trusted address":       {version: "v7.15.3", args: []string{"--trusted-ip=10.0.0.0/8"}, prefix: "/verify?original=", include: headers, want: []string{"GHSA-wr5q-7wxw-x568"}},
		"7.15.3 as the job installs":          {version: "v7.15.3", prefix: "/verify?original=", include: []string{"authorization", "x-forwarded-for"}},
		"7.15.3 with a route, without prefix": {version: "v7.15.3", args: []string{"--skip-auth-route=^/public"}, include: []string{"authorization"}, open: []string{"/public"}, want: []string{"GHSA-63jm-59jj-478j", "set a pathPrefix"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(arguments(provider.Issuer()), tc.args...)
			if len(tc.args) > 0 && tc.args[0] == "code" {
				args = codeArguments(provider.Issuer())
			}
			proxy := oauth2proxy.Start(t, oauth2proxy.Options{Version: tc.version, Args: args, Env: environment()})
			result, err := probe.Run(t.Context(), probe.Target{
				Asker: extauthz.Asker{Dial: proxy.Dial}, Host: "shop.example.com", Open: tc.open,
				Authorizer: extauthz.Authorizer{
					Service: "oauth2-proxy.oauth2-proxy.svc.cluster.local", Port: 80, PathPrefix: tc.prefix, Timeout: 10 * time.Second, IncludeHeaders: tc.include,
				},
			})
			require.NoError(t, err)
			t.Logf("%d requests, %d failures", result.Asked, len(result.Failures))
			var said []string
			for _, failure := range result.Failures {
				said = append(said, failure.String())
			}
			if tc.want == nil {
				assert.Empty(t, said)
				return
			}
			for _, want := range tc.want {
				assert.Contains(t, strings.Join(said, "\n"), want)
			}
			if testing.Verbose() {
				t.Log(strings.Join(said, "\n"))
			}
		})
	}
}
