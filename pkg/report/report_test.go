// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func sample() report.Report {
	rule := func(index int, path string, strategy apirule.Strategy, authorizers ...string) apirule.Rule {
		return apirule.Rule{
			Index: index, Path: path, Methods: []string{"GET"}, Strategy: strategy, Authorizers: authorizers,
			Service: types.NamespacedName{Namespace: "shop", Name: "cart"},
		}
	}
	findings := []policy.Finding{
		{Code: policy.RuleLeftOpen, Severity: policy.Warn, Err: field.Invalid(field.NewPath("spec", "rules").Index(1).Child("noAuth"), "/status", "stays open [RuleLeftOpen]")},
		{Code: policy.AuthorizerNotRegistered, Severity: policy.Deny, Err: field.Invalid(field.NewPath("spec", "rules").Index(0), "x", "not registered [AuthorizerNotRegistered]")},
		{Code: policy.RegistryUnknown, Severity: policy.Deny, Err: field.Invalid(field.NewPath("spec"), "x", "not known [RegistryUnknown]")},
	}
	judged := func(findings []policy.Finding, rules ...policy.RuleVerdict) policy.Judgement {
		return policy.Judgement{Findings: findings, Rules: rules, Verdict: policy.Worst(rules)}
	}
	open := policy.RuleVerdict{Verdict: policy.Open, Why: `says "noAuth: true"`}
	blocked := policy.RuleVerdict{Verdict: policy.Blocked, Why: `"oauth2-proxy" is not registered; every request gets 403`, Code: policy.AuthorizerNotRegistered}
	hosts := slices.Concat(
		report.APIRule(apirule.View{
			Namespace: "shop", Name: "cart", Hosts: []string{"cart"}, Gateway: "kyma-system/kyma-gateway",
			Annotations: map[string]string{"extauth-guard.io/injected": `[{"rule":0,"authorizers":["oauth2-proxy"],"from":"Namespace"}]`},
			Rules:       []apirule.Rule{rule(0, "/*", apirule.ExtAuth, "oauth2-proxy"), rule(1, "/status", apirule.NoAuth)},
		}, "example.com", judged(findings, blocked, open)),
		report.APIRule(apirule.View{Namespace: "shop", Name: "api", Hosts: []string{"api.example.com", "api.example.org"}, Rules: []apirule.Rule{rule(0, "/*", apirule.JWT)}}, "",
			judged(nil, policy.RuleVerdict{Verdict: policy.Protected})),
		report.APIRule(apirule.View{Namespace: "lab", Name: "=cmd()", Hosts: []string{"<script>alert(1)</script>"}, Rules: []apirule.Rule{rule(0, "/|*", apirule.Open)}}, "",
			judged(nil, policy.RuleVerdict{Verdict: policy.NotEnforced, Why: "=says\nsomething", Code: policy.SidecarMissing})),
	)
	hosts = append(hosts, report.VirtualService("legacy", "raw", "kyma-system/kyma-gateway", []string{"raw.example.com"})...)
	exemptions := []report.Exemption{
		{Policy: "public-hosts", Namespace: "shop", Name: "health", Paths: []string{"/healthz"}, Reason: "probe of the CDN", Owner: "team-shop", Expires: "2027-03-31"},
		{Policy: "public-hosts", Namespace: "shop", Name: "old", Reason: "migration", Owner: "team-shop", Expires: "2026-01-01", Expired: true},
	}
	return report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "deploy/", hosts, exemptions)
}

func render(t *testing.T, format report.Format) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, sample().Write(&out, format))
	return out.String()
}

func TestGoldens(t *testing.T) {
	for _, format := range report.Formats() {
		t.Run(format, func(t *testing.T) {
			got := render(t, report.Format(format))
			golden := filepath.Join("testdata", "sample."+format+".golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(string(want), got), "(-golden +got); -update writes it")
		})
	}
}

func TestSummary(t *testing.T) {
	assert.Equal(t, report.Summary{Hosts: 5, NotEnforced: 1, Open: 1, Unknown: 1, Protected: 2, Deny: 1, Warn: 1}, sample().Summary)
}

func TestTeams(t *testing.T) {
	assert.Equal(t, []report.Team{
		{Namespace: "lab", Summary: report.Summary{Hosts: 1, NotEnforced: 1}},
		{Namespace: "legacy", Summary: report.Summary{Hosts: 1, Unknown: 1}},
		{Namespace: "shop", Summary: report.Summary{Hosts: 3, Open: 1, Protected: 2, Deny: 1, Warn: 1}},
	}, sample().Teams)
}

func TestJSONIsTheReport(t *testing.T) {
	var got report.Report
	decoder := json.NewDecoder(strings.NewReader(render(t, report.JSON)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&got))
	assert.Empty(t, cmp.Diff(sample(), got))
	assert.NotContains(t, render(t, report.JSON), "null")
	var empty bytes.Buffer
	require.NoError(t, report.New(time.Time{}, "", nil, nil).Write(&empty, report.JSON))
	assert.NotContains(t, empty.String(), "null", "lists are never null")
}

func TestCSVHasNoFormulas(t *testing.T) {
	rows, err := csv.NewReader(strings.NewReader(render(t, report.CSV))).ReadAll()
	require.NoError(t, err)
	assert.Len(t, rows, 1+6, "a line for each rule, and one for a host without")
	for _, row := range rows {
		for _, cell := range row {
			assert.NotRegexp(t, `^[=+@\-]`, cell)
		}
	}
}

func TestMarkdownTablesStayTables(t *testing.T) {
	for line := range strings.Lines(render(t, report.Markdown)) {
		if strings.HasPrefix(line, "|") {
			columns := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") - 1
			assert.Contains(t, []int{6, 9}, columns, line)
			assert.NotContains(t, line, "<script>")
		}
	}
}

// The page must not load anything, nor let a host name become markup.
func TestPageIsSelfContained(t *testing.T) {
	document, err := html.Parse(strings.NewReader(render(t, report.HTML)))
	require.NoError(t, err)
	scripts, rows := 0, 0
	var walk func(*html.Node)
	walk = func(node *html.Node) {
		for _, attribute := range node.Attr {
			switch attribute.Key {
			case "src", "action", "srcset", "ping":
				assert.Fail(t, "loads "+attribute.Val)
			case "href":
				if node.Data == "a" { // only a person follows it
					assert.True(t, strings.HasPrefix(attribute.Val, "https://github.com/extauth-guard/extauth-guard/blob/main/docs/"), attribute.Val)
					continue
				}
				assert.Equal(t, "data:,", attribute.Val)
			}
		}
		switch {
		case node.Type == html.ElementNode && node.Data == "script":
			scripts++
		case node.Type == html.ElementNode && node.Data == "tr":
			rows++
		case node.Type == html.TextNode && node.Parent.Data == "style":
			assert.NotContains(t, node.Data, "url(")
			assert.NotContains(t, node.Data, "@import")
		}
		for child := node.FirstChild; child != nil; child = child.NextSibling {
			walk(child)
		}
	}
	walk(document)
	assert.Equal(t, 1, scripts, "only ours")
	assert.Equal(t, 1+5+1+3+1+2, rows)
}

func TestUnknownFormat(t *testing.T) {
	require.ErrorContains(t, sample().Write(&bytes.Buffer{}, "pdf"), "known are table, json")
}

func TestWhatChanged(t *testing.T) {
	host := func(name string, verdict policy.Verdict) report.Host {
		return report.Host{Host: name + ".example.com", Kind: "APIRule", Namespace: "shop", Name: name, Verdict: verdict}
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	before := report.New(at, "", []report.Host{host("same", policy.Open), host("gone", policy.Open), host("worse", policy.Protected), host("better", policy.Open)}, nil)
	var written bytes.Buffer
	require.NoError(t, before.Write(&written, report.JSON))
	read, err := report.Read(&written)
	require.NoError(t, err)
	after := report.New(at, "", []report.Host{host("same", policy.Open), host("worse", policy.NotEnforced), host("better", policy.Protected), host("new", policy.Open), host("fine", policy.Protected)}, nil).Since(read)

	var got []string
	for _, one := range after.Changes {
		got = append(got, fmt.Sprintf("%s %q %q %t", one.Name, one.Before, one.After, one.Worse()))
	}
	assert.Equal(t, []string{
		`worse "Protected" "NotEnforced" true`, `new "" "Open" true`, `better "Open" "Protected" false`, `fine "" "Protected" false`, `gone "Open" "" false`,
	}, got)
	var table bytes.Buffer
	require.NoError(t, after.Write(&table, report.Table))
	assert.Contains(t, table.String(), "Since the earlier report: 5 changes\n  WORSE   worse.example.com  Protected -> NotEnforced  APIRule shop/worse\n")

	for _, text := range []string{"", "[]", "{}", "{"} {
		_, err := report.Read(strings.NewReader(text))
		require.Error(t, err, text)
	}
}

// A host that two objects expose is one row and is counted once, by the worse of them.
func TestOneRowForEachHost(t *testing.T) {
	host := func(namespace, name string, verdict policy.Verdict, codes ...string) report.Host {
		one := report.Host{Host: "shop.example.com", Kind: "APIRule", Namespace: namespace, Name: name, Verdict: verdict, Rules: []report.Rule{{Path: "/" + name, Verdict: verdict, Strategy: "jwt"}}}
		for _, code := range codes {
			one.Findings = append(one.Findings, report.Finding{Code: code, Severity: "warn"})
		}
		return one
	}
	made := report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "", []report.Host{
		host("shop", "cart", policy.Protected, "RuleShadowed"), host("shop", "api", policy.Open, "RuleLeftOpen"), host("lab", "api", policy.Blocked),
		{Kind: "APIRule", Namespace: "shop", Name: "without", Verdict: policy.Unknown},
		{Kind: "APIRule", Namespace: "shop", Name: "hosts", Verdict: policy.Unknown},
	}, nil)
	assert.Equal(t, report.Summary{Hosts: 3, Open: 1, Unknown: 2, Warn: 2}, made.Summary)
	assert.Equal(t, []report.Team{
		{Namespace: "lab", Summary: report.Summary{Hosts: 1, Blocked: 1}},
		{Namespace: "shop", Summary: report.Summary{Hosts: 3, Open: 1, Unknown: 2, Warn: 2}},
	}, made.Teams)
	var table, page bytes.Buffer
	require.NoError(t, made.Write(&table, report.Table))
	assert.Contains(t, table.String(), "shop.example.com  Open     APIRule shop/api, APIRule lab/api, APIRule shop/cart  jwt          RuleLeftOpen, RuleShadowed  -")
	require.NoError(t, made.Write(&page, report.HTML))
	assert.Equal(t, 1, strings.Count(page.String(), "<td>shop.example.com</td>"))
	assert.Contains(t, page.String(), "<td>shop, lab</td>")
}

// large is a report of many hosts that differ in all that hosts differ in.
func large(n int) report.Report {
	hosts := make([]report.Host, 0, n)
	verdicts := policy.Verdicts()
	for i := range n {
		name, team := fmt.Sprintf("app-%d", i*7919%n), fmt.Sprintf("team-%d", i%400)
		one := report.Host{
			Host: name + "." + team + ".example.com", Kind: "APIRule", Namespace: team, Name: name, Gateway: "kyma-system/kyma-gateway",
			Verdict: verdicts[i%len(verdicts)], Why: `"` + name + `" says "noAuth: true"`, Fix: "Remove noAuth from the rule of " + name + ".",
			Rules: []report.Rule{
				{Path: "/*", Methods: []string{"GET", "POST"}, Service: team + "/" + name, Verdict: policy.Protected, Strategy: "extAuth", Authorizers: []string{"oauth2-proxy"}, InjectedFrom: "Namespace"},
				{Path: "/status", Methods: []string{"GET"}, Service: team + "/" + name, Verdict: policy.Open, Strategy: "noAuth"},
			},
			Findings: []report.Finding{{Code: "RuleLeftOpen", Severity: "warn", Path: "spec.rules[1].noAuth", Message: "the rule of " + team + "/" + name + ` stays open, because it says "noAuth: true"`}},
		}
		hosts = append(hosts, one)
	}
	return report.New(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "a test", hosts, nil)
}

// A page is sent by mail and kept in repositories, so that its size counts.
func TestPageOfTwentyThousandHosts(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, large(20_000).Write(&page, report.HTML))
	t.Logf("%d bytes for 20,000 hosts", page.Len())
	assert.Less(t, page.Len(), 2_000_000)
	assert.Equal(t, 500, strings.Count(page.String(), "<tr data-verdict="), "the first page is there without a script")
	packed := regexp.MustCompile(`<script type="text/plain" id="rest">([^<]*)</script>`).FindStringSubmatch(page.String())
	require.NotNil(t, packed)
	raw, err := gzip.NewReader(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(packed[1])))
	require.NoError(t, err)
	rest, err := io.ReadAll(raw)
	require.NoError(t, err)
	assert.Equal(t, 19_500, strings.Count(string(rest), "<tr data-verdict="))
	var small bytes.Buffer
	require.NoError(t, large(500).Write(&small, report.HTML))
	assert.NotContains(t, small.String(), `id="rest"`)
}
