// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

// Format is a form of output.
type Format string

// The formats.
const (
	// Table is for terminals: a line for each host.
	Table Format = "table"
	// JSON is the whole report.
	JSON Format = "json"
	// CSV is for spreadsheets: a line for each rule.
	CSV Format = "csv"
	// Markdown is for pull requests and wikis.
	Markdown Format = "markdown"
	// HTML is one page that needs nothing else.
	HTML Format = "html"
)

// Formats returns all formats, the default first.
func Formats() []string {
	return []string{string(Table), string(JSON), string(CSV), string(Markdown), string(HTML)}
}

// Write writes the report.
func (r Report) Write(w io.Writer, format Format) error {
	writers := map[Format]func(io.Writer) error{
		Table: r.table, JSON: r.json, CSV: r.csv, Markdown: r.markdown, HTML: r.html,
	}
	write, known := writers[format]
	if !known {
		return fmt.Errorf("unknown output format %q; known are %s", format, strings.Join(Formats(), ", "))
	}
	if err := write(w); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

func (r Report) table(w io.Writer) error {
	var lines strings.Builder
	table := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "HOST\tVERDICT\tOBJECT\tAUTHORIZERS\tFINDINGS\tWHY")
	for _, host := range r.rows() {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", quote.Line(orDash(host.Host.Host)), host.Verdict, quote.Line(host.object()), quote.Line(orDash(host.by())), orDash(host.codes()), quote.Line(orDash(host.Why)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&lines, "\n%s\n", r.Summary.sentence())
	r.changes(&lines)
	_, err := io.WriteString(w, quote.Printed(lines.String()))
	return err
}

// changes prints what changed since an earlier report.
func (r Report) changes(lines *strings.Builder) {
	if r.Changes == nil {
		return
	}
	fmt.Fprintf(lines, "\nSince the earlier report: %d changes\n", len(r.Changes))
	for _, one := range r.Changes {
		mark := "better"
		if one.Worse() {
			mark = "WORSE"
		}
		fmt.Fprintf(lines, "  %-6s  %s  %s -> %s  %s %s/%s\n", mark, quote.Line(orDash(one.Host)), orDash(string(one.Before)), orDash(string(one.After)),
			one.Kind, quote.Line(one.Namespace), quote.Line(one.Name))
	}
}

func (r Report) json(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r Report) csv(w io.Writer) error {
	table := csv.NewWriter(w)
	_ = table.Write([]string{"host", "verdict", "kind", "namespace", "name", "gateway", "path", "methods", "ruleVerdict", "why", "strategy", "authorizers", "injectedFrom", "service", "findings", "callers"})
	for _, host := range r.Hosts {
		rules := host.Rules
		if len(rules) == 0 {
			rules = []Rule{{}}
		}
		for _, rule := range rules {
			_ = table.Write(inert(
				host.Host, string(host.Verdict), host.Kind, host.Namespace, host.Name, host.Gateway,
				rule.Path, strings.Join(rule.Methods, " "), string(rule.Verdict), cmp.Or(rule.Why, host.Why), rule.Strategy,
				strings.Join(rule.Authorizers, " "), rule.InjectedFrom, rule.Service, host.codes(), rule.Callers,
			))
		}
	}
	table.Flush()
	return table.Error()
}

// inert quotes cells: names come from whoever may write an APIRule.
func inert(cells ...string) []string {
	for i, cell := range cells {
		cells[i] = quote.Cell(cell)
	}
	return cells
}

func (r Report) markdown(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Host coverage\n\n%s Looked at: %s, %s.\n\n", r.Summary.sentence(), cell(r.Source), r.Generated.Format("2006-01-02 15:04 MST"))
	text.WriteString("| Host | Verdict | Object | Authorizers | Findings | Why |\n|---|---|---|---|---|---|\n")
	for _, host := range r.rows() {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", cell(host.Host.Host), host.Verdict, cell(host.object()), cell(host.by()), cell(host.codes()), cell(host.Why))
	}
	text.WriteString("\n## Teams\n\n| Namespace | Hosts | NotEnforced | Open | Unknown | Blocked | Protected | Deny | Warn |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, one := range r.Teams {
		fmt.Fprintf(&text, "| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", cell(one.Namespace), one.Hosts, one.NotEnforced, one.Open, one.Unknown, one.Blocked, one.Protected, one.Deny, one.Warn)
	}
	if len(r.Exemptions) > 0 {
		text.WriteString("\n## Exemptions\n\n| Policy | APIRule | Paths | Reason | Owner | Expires |\n|---|---|---|---|---|---|\n")
	}
	for _, one := range r.Exemptions {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", cell(one.Policy), cell(one.Namespace+"/"+one.Name),
			cell(strings.Join(one.Paths, ", ")), cell(one.Reason), cell(one.Owner), cell(one.Until()))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// cell quotes a text for a table.
func cell(text string) string { return orDash(quote.Markdown(text)) }

func (s Summary) sentence() string {
	hosts := fmt.Sprintf("%d hosts", s.Hosts)
	if s.Hosts == 1 {
		hosts = "1 host"
	}
	return fmt.Sprintf("%s: %d NotEnforced, %d Open, %d Unknown, %d Blocked, %d Protected. Findings: %d deny, %d warn.",
		hosts, s.NotEnforced, s.Open, s.Unknown, s.Blocked, s.Protected, s.Deny, s.Warn)
}

// Until says how long an exemption holds.
func (e Exemption) Until() string {
	switch {
	case e.Expires == "":
		return "never"
	case e.Expired:
		return e.Expires + " (expired)"
	}
	return e.Expires
}

func (h Host) object() string { return h.Kind + " " + h.Namespace + "/" + h.Name }

// protectors are what protects the host, rule by rule.
func (h Host) protectors() []string {
	var names []string
	for _, rule := range h.Rules {
		if rule.Strategy == "jwt" {
			names = append(names, "jwt")
		}
		names = append(names, rule.Authorizers...)
	}
	return names
}

func (h Host) codes() string { return strings.Join(distinct(h.findingCodes()), ", ") }

func (h Host) findingCodes() []string {
	var codes []string
	for _, finding := range h.Findings {
		codes = append(codes, finding.Code)
	}
	return codes
}

func distinct(texts []string) []string {
	seen := map[string]bool{}
	var left []string
	for _, one := range texts {
		if !seen[one] {
			seen[one] = true
			left = append(left, one)
		}
	}
	return left
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
