// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package html

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/test/harness/chromium"
)

// large returns many open hosts.
func large(count int) []report.Host {
	hosts := make([]report.Host, 0, count)
	for i := range count {
		hosts = append(hosts, report.Host{
			Host: fmt.Sprintf("application-%d.team.example.com", i), Kind: "APIRule", Namespace: fmt.Sprintf("team-%d", i%7), Name: fmt.Sprintf("application-%d", i),
			Verdict: policy.Open, Why: `says "noAuth: true"`, Fix: "Name an authorizer in extAuth.authorizers.",
			Rules:    []report.Rule{{Path: "/*", Methods: []string{"GET"}, Verdict: policy.Open, Strategy: "noAuth"}},
			Findings: []report.Finding{{Code: "RuleLeftOpen", Severity: "warn", Path: "spec.rules[0].noAuth", Message: "stays open"}},
		})
	}
	return hosts
}

const count = `document.getElementById("count").textContent`

// Pages are turned by keyboard, and the rows behind the first page are found, in the
// largest report that there is a promise about.
func TestPagesInABrowser(t *testing.T) {
	address := write(t, large(20_000), nil)
	ctx := chromium.Start(t)
	var unpacked, second, filtered string
	require.NoError(t, chromedp.Run(ctx,
		chromedp.Navigate(address),
		chromedp.Poll(count+`.includes("20000 in all")`, nil),
		chromedp.Evaluate(count, &unpacked),
		chromedp.Focus("#next", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter), chromedp.Evaluate(count, &second),
		chromedp.SendKeys("#filter", "application-19999", chromedp.ByQuery), chromedp.Evaluate(count, &filtered),
	))
	assert.Equal(t, "1 to 500 of 20000 shown, 20000 in all", unpacked)
	assert.Equal(t, "501 to 1000 of 20000 shown, 20000 in all", second)
	assert.Equal(t, "1 of 20000 shown", filtered)
}

// Whoever has no mouse comes to everything by the Tab key, sees where he is, sorts with
// Enter, filters by typing and chooses a verdict by its first letter.
func TestTheKeyboardIsEnough(t *testing.T) {
	address := writePage(t)
	ctx := chromium.Start(t)
	const focused = `(() => {
		const at = document.activeElement, outline = getComputedStyle(at).outlineStyle;
		return (at.id || at.textContent.trim() || at.localName) + (outline === "none" ? " without a mark" : "");
	})()`
	const direction = `document.querySelector("#hosts th").getAttribute("aria-sort")`
	tab := func(into *string) chromedp.Action {
		return chromedp.Tasks{chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(focused, into)}
	}
	stops := make([]string, 9)
	var sorted, sortedDown, up, down, byWord, byVerdict, opened string
	actions := []chromedp.Action{chromedp.Navigate(address)}
	for i := range stops {
		actions = append(actions, tab(&stops[i]))
	}
	actions = append(
		actions,
		chromedp.Focus("#hosts th button", chromedp.ByQuery),
		chromedp.KeyEvent(kb.Enter), chromedp.Evaluate(visible, &sorted), chromedp.Evaluate(direction, &up),
		chromedp.KeyEvent(" "), chromedp.Evaluate(visible, &sortedDown), chromedp.Evaluate(direction, &down),
		chromedp.Focus("#hosts summary", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter),
		chromedp.Evaluate(`document.querySelector("#hosts details[open] li").textContent.trim()`, &opened),
		chromedp.Focus("#filter", chromedp.ByQuery), chromedp.KeyEvent("team-a"), chromedp.Evaluate(visible, &byWord),
		chromedp.Evaluate(`document.getElementById("filter").select()`, nil), chromedp.KeyEvent(kb.Backspace),
		chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("u"), chromedp.Evaluate(visible, &byVerdict),
	)
	require.NoError(t, chromedp.Run(ctx, actions...))
	assert.Equal(t, []string{"filter", "verdict", "Host", "Verdict", "Team (namespace)", "Object", "Protected by", "Rules", "Findings"}, stops)
	assert.Equal(t, "a.example.com b.example.com c.example.com d.example.com z.example.com", sorted)
	assert.Equal(t, "ascending", up)
	assert.Equal(t, "z.example.com d.example.com c.example.com b.example.com a.example.com", sortedDown)
	assert.Equal(t, "descending", down)
	assert.NotEmpty(t, opened)
	assert.Equal(t, "a.example.com", byWord)
	assert.Equal(t, "z.example.com", byVerdict)
}
