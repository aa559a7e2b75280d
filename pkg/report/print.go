// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
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
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "HOST\tPROTECTION\tOBJECT\tAUTHORIZERS\tFINDINGS")
	for _, host := range r.Hosts {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", orDash(host.Host), host.Protection, host.object(), orDash(host.by()), orDash(host.codes()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Summary.sentence())
	return err
}

func (r Report) json(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r Report) csv(w io.Writer) error {
	table := csv.NewWriter(w)
	_ = table.Write([]string{"host", "protection", "kind", "namespace", "name", "gateway", "path", "methods", "protected", "strategy", "authorizers", "injectedFrom", "service", "findings"})
	for _, host := range r.Hosts {
		rules := host.Rules
		if len(rules) == 0 {
			rules = []Rule{{}}
		}
		for _, rule := range rules {
			_ = table.Write(inert(
				host.Host, string(host.Protection), host.Kind, host.Namespace, host.Name, host.Gateway,
				rule.Path, strings.Join(rule.Methods, " "), strconv.FormatBool(rule.Protected), rule.Strategy,
				strings.Join(rule.Authorizers, " "), rule.InjectedFrom, rule.Service, host.codes(),
			))
		}
	}
	table.Flush()
	return table.Error()
}

// inert keeps spreadsheets from taking a cell for a formula: names come from
// whoever may write an APIRule (OWASP, "CSV injection").
func inert(cells ...string) []string {
	for i, cell := range cells {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cells[i] = "'" + cell
		}
	}
	return cells
}

func (r Report) markdown(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Host coverage\n\n%s Looked at: %s, %s.\n\n", r.Summary.sentence(), cell(r.Source), r.Generated.Format("2006-01-02 15:04 MST"))
	text.WriteString("| Host | Protection | Object | Authorizers | Findings |\n|---|---|---|---|---|\n")
	for _, host := range r.Hosts {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", cell(host.Host), host.Protection, cell(host.object()), cell(host.by()), cell(host.codes()))
	}
	text.WriteString("\n## Teams\n\n| Namespace | Hosts | Protected | Partly | Open | Unguarded | Deny | Warn |\n|---|---|---|---|---|---|---|---|\n")
	for _, one := range r.Teams {
		fmt.Fprintf(&text, "| %s | %d | %d | %d | %d | %d | %d | %d |\n", cell(one.Namespace), one.Hosts, one.Protected, one.Partly, one.Open, one.Unguarded, one.Deny, one.Warn)
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

// cell escapes what would end a cell, or be taken for markup.
func cell(text string) string {
	text = strings.NewReplacer("\\", "\\\\", "|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[").Replace(text)
	return orDash(text)
}

//go:embed page.html
var page string

func (r Report) html(w io.Writer) error {
	parsed, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	return parsed.Execute(w, r)
}

func (s Summary) sentence() string {
	return fmt.Sprintf("%d hosts: %d protected, %d partly, %d open, %d not guarded by APIRules. Findings: %d deny, %d warn.",
		s.Hosts, s.Protected, s.Partly, s.Open, s.Unguarded, s.Deny, s.Warn)
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

// by names what protects the host.
func (h Host) by() string {
	var names []string
	for _, rule := range h.Rules {
		if rule.Strategy == "jwt" {
			names = append(names, "jwt")
		}
		names = append(names, rule.Authorizers...)
	}
	return strings.Join(distinct(names), ", ")
}

func (h Host) codes() string {
	var codes []string
	for _, finding := range h.Findings {
		codes = append(codes, finding.Code)
	}
	return strings.Join(distinct(codes), ", ")
}

// By names what protects the host, for the page.
func (h Host) By() string { return orDash(h.by()) }

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
