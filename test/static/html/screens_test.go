// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/test/harness/chromium"
)

var update = flag.Bool("update", false, "keep the pictures as they are now")

// writeScene writes a report with a host of each verdict, short and long.
func writeScene(t *testing.T) string {
	t.Helper()
	finding := func(code policy.Code, severity, message string) report.Finding {
		return report.Finding{Code: string(code), Severity: severity, Path: "spec.rules[0].extAuth.authorizers[0]", Message: message}
	}
	scene := []struct {
		host     report.Host
		rule     report.Rule
		findings []report.Finding
	}{
		{
			report.Host{Host: "cart.shop.example.com", Namespace: "shop", Name: "cart", Verdict: policy.NotEnforced, Why: "Pod shop/cart-0 has no sidecar", Fix: "Label the namespace istio-injection: enabled and restart the Pods."},
			report.Rule{Strategy: "extAuth", Authorizers: []string{"oauth2-proxy"}, InjectedFrom: "Namespace"},
			[]report.Finding{finding(policy.SidecarMissing, "warn", "nobody will be asked")},
		},
		{
			report.Host{Host: "status.example.com", Namespace: "shop", Name: "status", Verdict: policy.Open, Why: `says "noAuth: true"`, Fix: "Annotate the APIRule with extauth-guard.io/replace: noAuth."},
			report.Rule{Strategy: "noAuth"},
			nil,
		},
		{
			report.Host{Host: "a-very-long-name-of-an-application.of-a-team-with-a-long-name.c-1234567.kyma.ondemand.example.com", Namespace: "a-team-with-a-rather-long-name", Name: "a-very-long-name-of-an-application", Verdict: policy.Unknown, Why: "no APIRule"},
			report.Rule{Strategy: "none"},
			nil,
		},
		{
			report.Host{Host: "api.example.com", Namespace: "billing", Name: "api", Verdict: policy.Blocked, Why: `"oauth2proxy" is not registered; every request gets 403`, Fix: "Name one that is registered: oauth2-proxy."},
			report.Rule{Strategy: "extAuth", Authorizers: []string{"oauth2proxy"}},
			[]report.Finding{finding(policy.AuthorizerNotRegistered, "deny", `Unsupported value: "oauth2proxy": did you mean "oauth2-proxy"?`)},
		},
		{
			report.Host{Host: "httpbin.example.com", Namespace: "demo", Name: "httpbin", Verdict: policy.Protected},
			report.Rule{Strategy: "extAuth", Authorizers: []string{"oauth2-proxy"}},
			nil,
		},
	}
	hosts := make([]report.Host, 0, len(scene))
	for _, one := range scene {
		one.host.Kind = "APIRule"
		one.rule.Path, one.rule.Methods, one.rule.Verdict = "/*", []string{"GET", "POST"}, one.host.Verdict
		one.host.Rules, one.host.Findings = []report.Rule{one.rule}, one.findings
		hosts = append(hosts, one.host)
	}
	return write(t, hosts, []report.Exemption{{Policy: "public-hosts", Namespace: "shop", Name: "health", Paths: []string{"/healthz"}, Reason: "probe of the CDN", Owner: "team-shop", Expires: "2027-03-31"}})
}

// arranged says how the page is laid out: as a table, or as one block under the other.
const arranged = `(() => {
	const tops = selector => new Set([...document.querySelectorAll(selector)].map(one => Math.round(one.getBoundingClientRect().top))).size;
	return [tops("#tiles li"), tops("#hosts tbody tr:first-child td")].join(" ");
})()`

// The page is good on a telephone and on a desk, by day and by night: nothing runs off
// the screen or lies over something, everything can be read and touched, and it looks as
// it did when somebody last looked at it.
func TestScreens(t *testing.T) {
	address := writeScene(t)
	ctx := chromium.Start(t)
	backgrounds := map[string]string{}
	for _, screen := range chromium.Screens() {
		t.Run(screen.String(), func(t *testing.T) {
			var complaints []string
			var arrangement, background string
			var shot []byte
			require.NoError(t, chromedp.Run(
				ctx, screen.Emulate(), chromedp.Navigate(address),
				chromedp.Evaluate(`document.querySelectorAll("tr:nth-child(4) details").forEach(one => { one.open = true })`, nil),
				chromium.Layout(screen, &complaints),
				chromedp.Evaluate(arranged, &arrangement),
				chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &background),
				chromedp.FullScreenshot(&shot, 100),
			))
			backgrounds[screen.Scheme] = background
			assert.Empty(t, complaints)
			want := "1 1"
			if screen.Narrow() {
				want = "3 7"
			}
			assert.Equal(t, want, arrangement, "lines of tiles, and of a host's cells")
			family, err := chromium.Font(ctx)
			require.NoError(t, err)
			if family != chromium.Pictured {
				t.Skipf("the picture is not compared: this machine draws the page with %q, and the one that is kept has %s", family, chromium.Pictured)
			}
			chromium.Compare(t, filepath.Join("testdata", screen.String()+".png"), shot, *update)
		})
	}
	assert.NotEqual(t, backgrounds["light"], backgrounds["dark"])
}
