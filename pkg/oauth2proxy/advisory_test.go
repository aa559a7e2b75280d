// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func TestTheInstalledVersionHasNoKnownAdvisory(t *testing.T) {
	is := version.MustParseSemantic(oauth2proxy.Version)
	for _, advisory := range oauth2proxy.Advisories() {
		if advisory.ID == "" {
			continue // The documented behaviour of every version; the job sets the flag that prevents it.
		}
		require.NotEmpty(t, advisory.FixedIn, "%s: no version repairs it", advisory.ID)
		assert.False(t, is.LessThan(version.MustParseSemantic(advisory.FixedIn)), "%s has %s: raise Version, and the one in hack/cluster/oauth2-proxy.sh", oauth2proxy.Version, advisory.ID)
	}
}

func TestTheScriptBuildsTheVersionThatIsInstalled(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "hack/cluster/oauth2-proxy.sh"))
	require.NoError(t, err)
	assert.Contains(t, string(raw), "\npinned="+oauth2proxy.Version+"\n")
}

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		tag  string
		args []string
		env  map[string]string
		want []string
	}{
		"what the job installs":          {tag: "v7.15.6", args: []string{"--reverse-proxy=true", "--trusted-proxy-ip=127.0.0.6/32", "--upstream=static://200"}},
		"the chart's default, harmless":  {tag: "v7.15.3", args: []string{"--reverse-proxy=true", "--upstream=static://200"}},
		"the chart's default, code flow": {tag: "v7.15.3", args: []string{"--redirect-url=https://a/oauth2/callback"}, want: []string{"GHSA-hhqp-vx7f-5c6m"}},
		"a skipped route": {
			tag: "v7.15.3", args: []string{"--skip-auth-route=^/public"}, want: []string{"GHSA-63jm-59jj-478j"},
		},
		"a skipped route on an old one": {
			tag: "7.10.0", args: []string{"--skip-auth-regex", "^/public", "--reverse-proxy"},
			want: []string{"GHSA-7rh7-c77v-6434", "GHSA-7x63-xv5r-3p2x", "GHSA-pxq7-h93f-9jrg", "GHSA-63jm-59jj-478j", ""},
		},
		"from the environment":              {tag: "v7.15.3", env: map[string]string{"OAUTH2_PROXY_TRUSTED_IPS": "10.0.0.0/8"}, want: []string{"GHSA-wr5q-7wxw-x568"}},
		"the agent of a probe":              {tag: "v7.15.1", args: []string{"--ping-user-agent=kube-probe"}, want: []string{"GHSA-5hvv-m4w4-gf6v"}},
		"health checks switched off":        {tag: "v7.15.1", args: []string{"--gcp-healthchecks=false"}},
		"an application behind it":          {tag: "v7.12.0", args: []string{"--upstream=http://app"}, want: []string{"GHSA-vjrc-mh2v-45x6"}},
		"any peer and a route, on the last": {tag: "v7.15.6-alpine", args: []string{"--reverse-proxy=true", "--skip-auth-route=^/public"}, want: []string{""}},
		"domains of addresses":              {tag: "v7.15.1", args: []string{"--email-domain=corp.com"}, want: []string{"GHSA-c5c4-8r6x-56w3"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, problem := range oauth2proxy.Check(tc.tag, oauth2proxy.Parse(tc.args, tc.env)) {
				assert.False(t, problem.Unknown)
				assert.Contains(t, problem.Message, tc.tag)
				got = append(got, problem.Advisory)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestAnUnknownVersionIsNotAGoodOne(t *testing.T) {
	for _, image := range []string{"quay.io/oauth2-proxy/oauth2-proxy", "host:5000/oauth2-proxy:latest", "host/p@sha256:" + strings.Repeat("a", 64)} {
		problems := oauth2proxy.Check(oauth2proxy.Tag(image), nil)
		require.Len(t, problems, 1, image)
		assert.True(t, problems[0].Unknown)
	}
	assert.Equal(t, "v7.15.6", oauth2proxy.Tag("host:5000/oauth2-proxy:v7.15.6@sha256:aa"))
}
