// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package html opens the report's page in a real browser.
package html

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/test/harness/chromium"
)

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
	return write(t, hosts, exemptions)
}

// write writes a report's page and returns its address.
func write(t *testing.T, hosts []report.Host, exemptions []report.Exemption) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "a test", hosts, exemptions).Write(file, report.HTML))
	require.NoError(t, file.Close())
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
	ctx := chromium.Start(t)
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
	var opened, byHost, byHostDown, byFindings, filtered, selected, counted string
	var printed []byte
	sortBy := func(column string) chromedp.Action {
		return chromedp.Click(`#hosts th:nth-child(`+column+`) button`, chromedp.ByQuery)
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
	assert.True(t, bytes.HasPrefix(printed, []byte("%PDF-")))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{address}, requests, "the page asks for nothing but itself")
	assert.Empty(t, complaints)
}
