// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package html opens the report's page in a real browser.
package html

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

// browser starts a headless Chromium, Debian's package or Chrome.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("no Chromium here; Debian's package chromium has one")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to be root with one
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// writePage writes a report with hosts a, b and so on; every second is open.
func writePage(t *testing.T) string {
	t.Helper()
	hosts := report.VirtualService("legacy", "raw", "kyma-system/kyma-gateway", []string{"z.example.com"})
	for i, name := range []string{"c", "a", "b", "d"} {
		rule := apirule.Rule{Path: "/*", Methods: []string{"GET"}, Strategy: apirule.NoAuth}
		judged := policy.Judgement{Verdict: policy.RuleVerdict{Verdict: policy.Protected}}
		if i%2 == 0 {
			rule.Strategy, rule.Authorizers = apirule.ExtAuth, []string{"oauth2-proxy"}
		} else {
			judged.Verdict = policy.RuleVerdict{Verdict: policy.Open, Why: "says <b>noAuth</b>"}
			judged.Findings = append(judged.Findings, policy.Finding{Code: policy.RuleLeftOpen, Severity: policy.Warn, Err: field.Invalid(field.NewPath("spec"), "x", "stays <b>open</b>")})
		}
		judged.Rules = []policy.RuleVerdict{judged.Verdict}
		hosts = append(hosts, report.APIRule(apirule.View{Namespace: "team-" + name, Name: name, Hosts: []string{name + ".example.com"}, Rules: []apirule.Rule{rule}}, "", judged)...)
	}
	exemptions := []report.Exemption{{Policy: "p", Namespace: "shop", Name: "health", Reason: "probe", Owner: "team-shop", Expires: "2027-03-31"}}
	var out bytes.Buffer
	require.NoError(t, report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "a test", hosts, exemptions).Write(&out, report.HTML))
	path := filepath.Join(t.TempDir(), "report.html")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return (&url.URL{Scheme: "file", Path: path}).String()
}

const visible = `[...document.querySelectorAll("#hosts tbody tr")].filter(row => row.getClientRects().length > 0).map(row => row.cells[0].textContent).join(" ")`

// choose empties the filter and chooses a verdict, as a user does.
const choose = `(() => {
	const filter = document.getElementById("filter"), verdict = document.getElementById("verdict");
	filter.value = ""; filter.dispatchEvent(new Event("input"));
	verdict.value = "Unknown"; verdict.dispatchEvent(new Event("change"));
	return "";
})()`

func TestPageInABrowser(t *testing.T) {
	address := writePage(t)
	ctx := browser(t)
	var mu sync.Mutex
	var requests, complaints []string
	chromedp.ListenTarget(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(event.Request.URL, "data:") {
				requests = append(requests, event.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, event.Type.String())
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, event.ExceptionDetails.Error())
		}
	})
	var opened, byHost, byHostDown, byFindings, filtered, selected, counted, light, dark string
	var shot, printed []byte
	sortBy := func(column string) chromedp.Action {
		return chromedp.Click(`#hosts th:nth-child(`+column+`) button`, chromedp.ByQuery)
	}
	background := func(into *string) chromedp.Action {
		return chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, into)
	}
	scheme := func(value string) chromedp.Action {
		return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}})
	}
	require.NoError(t, chromedp.Run(ctx,
		network.Enable(), runtime.Enable(),
		chromedp.Navigate(address),
		chromedp.Evaluate(visible, &opened),
		sortBy("1"), chromedp.Evaluate(visible, &byHost),
		sortBy("1"), chromedp.Evaluate(visible, &byHostDown),
		sortBy("7"), chromedp.Evaluate(visible, &byFindings),
		chromedp.SendKeys("#filter", "oauth2-proxy team-b", chromedp.ByQuery), chromedp.Evaluate(visible, &filtered),
		chromedp.Text("#count", &counted, chromedp.ByQuery),
		chromedp.Evaluate(choose, nil),
		chromedp.Evaluate(visible, &selected),
		scheme("light"), background(&light),
		scheme("dark"), background(&dark),
		chromedp.FullScreenshot(&shot, 90),
		chromedp.ActionFunc(func(ctx context.Context) (err error) {
			printed, _, err = page.PrintToPDF().Do(ctx)
			return err
		}),
	))
	assert.Equal(t, "a.example.com d.example.com z.example.com b.example.com c.example.com", opened, "the worst first")
	assert.Equal(t, "a.example.com b.example.com c.example.com d.example.com z.example.com", byHost)
	assert.Equal(t, "z.example.com d.example.com c.example.com b.example.com a.example.com", byHostDown)
	assert.Equal(t, "z.example.com c.example.com b.example.com d.example.com a.example.com", byFindings, "those without come first, in the order they had")
	assert.Equal(t, "b.example.com", filtered)
	assert.Equal(t, "1 of 5 shown", counted)
	assert.Equal(t, "z.example.com", selected)
	assert.NotEqual(t, light, dark)
	assert.Greater(t, len(shot), 5000)
	assert.True(t, bytes.HasPrefix(printed, []byte("%PDF-")))
	if dir := os.Getenv("EXTAUTH_SCREENSHOTS"); dir != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "report.jpg"), shot, 0o600))
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{address}, requests, "the page asks for nothing but itself")
	assert.Empty(t, complaints)
}

// writeLarge writes a report of 1,200 hosts, which are three pages.
func writeLarge(t *testing.T) string {
	t.Helper()
	hosts := make([]report.Host, 0, 1200)
	for i := range 1200 {
		hosts = append(hosts, report.Host{
			Host: fmt.Sprintf("application-%d.team.example.com", i), Kind: "APIRule", Namespace: fmt.Sprintf("team-%d", i%7), Name: fmt.Sprintf("application-%d", i),
			Verdict: policy.Open, Why: `says "noAuth: true"`, Fix: "Name an authorizer in extAuth.authorizers.",
			Rules:    []report.Rule{{Path: "/*", Methods: []string{"GET"}, Verdict: policy.Open, Strategy: "noAuth"}},
			Findings: []report.Finding{{Code: "RuleLeftOpen", Severity: "warn", Path: "spec.rules[0].noAuth", Message: "stays open"}},
		})
	}
	var out bytes.Buffer
	require.NoError(t, report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "a test", hosts, nil).Write(&out, report.HTML))
	path := filepath.Join(t.TempDir(), "large.html")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return (&url.URL{Scheme: "file", Path: path}).String()
}

// Pages are turned by keyboard, the rows behind the first page are found, and nothing is
// wider than the screen, of a telephone too.
func TestPagesInABrowser(t *testing.T) {
	address := writeLarge(t)
	ctx := browser(t)
	const count = `document.getElementById("count").textContent`
	const tooWide = `document.documentElement.scrollWidth > document.documentElement.clientWidth`
	var unpacked, second, filtered string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(address),
		chromedp.Poll(count+`.includes("1200 in all")`, nil),
		chromedp.Evaluate(count, &unpacked),
		chromedp.Focus("#next", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter), chromedp.Evaluate(count, &second),
		chromedp.SendKeys("#filter", "application-1199", chromedp.ByQuery), chromedp.Evaluate(count, &filtered),
	))
	assert.Equal(t, "1 to 500 of 1200 shown, 1200 in all", unpacked)
	assert.Equal(t, "501 to 1000 of 1200 shown, 1200 in all", second)
	assert.Equal(t, "1 of 1200 shown", filtered)
	for _, width := range []int64{390, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			var wide bool
			var shot []byte
			require.NoError(t, chromedp.Run(ctx,
				emulation.SetDeviceMetricsOverride(width, 800, 1, width < 500),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.Navigate(address), chromedp.Evaluate(tooWide, &wide), chromedp.CaptureScreenshot(&shot),
			))
			assert.False(t, wide, "at %d pixels the page runs off the screen", width)
			if dir := os.Getenv("EXTAUTH_SCREENSHOTS"); dir != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("report-%d-%s.png", width, scheme)), shot, 0o600))
			}
		}
	}
}
