// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Format is a form of output.
type Format string

// The formats.
const (
	// Text is for people: place, sentence, source line; silent if all is well.
	Text Format = "text"
	// JSON is one object with findings and summary.
	JSON Format = "json"
	// YAML is the same as YAML.
	YAML Format = "yaml"
	// SARIF is SARIF 2.1.0, for code scanning.
	SARIF Format = "sarif"
	// JUnit is the XML that CI servers show as test results.
	JUnit Format = "junit"
	// GitHub is workflow commands that annotate a pull request.
	GitHub Format = "github"
)

// Formats returns all formats, text first.
func Formats() []string {
	return []string{string(Text), string(JSON), string(YAML), string(SARIF), string(JUnit), string(GitHub)}
}

// PrintOptions are the choices of a printer.
type PrintOptions struct {
	// Colour makes text coloured by terminal sequences.
	Colour bool
	// Version is that of this program, for formats that name their tool.
	Version string
}

// NewPrinter returns a printer that writes to w. Findings are written as they
// come, so that memory does not grow with them, but for JUnit, which begins with
// their number.
func NewPrinter(format Format, w io.Writer, options PrintOptions) (Printer, error) {
	switch format {
	case Text:
		return &textPrinter{w: w, colour: options.Colour}, nil
	case JSON:
		return &jsonPrinter{w: w}, nil
	case YAML:
		return &yamlPrinter{w: w}, nil
	case SARIF:
		return &sarifPrinter{w: w, version: options.Version}, nil
	case JUnit:
		return &junitPrinter{w: w}, nil
	case GitHub:
		return &githubPrinter{w: w}, nil
	}
	return nil, fmt.Errorf("unknown output format %q; known are %s", format, strings.Join(Formats(), ", "))
}

type textPrinter struct {
	w      io.Writer
	colour bool
	said   bool
}

// Terminal sequences (ECMA-48, SGR).
const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

func (p *textPrinter) Print(finding Finding) error {
	colour := yellow
	if finding.Severity == policy.Deny {
		colour = red
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s %s\n", p.in(bold, fmt.Sprintf("%s:%d:%d:", quote.Line(finding.File), finding.Line, finding.Column)),
		p.in(colour, string(finding.Severity)), quote.Line(strings.TrimSpace(finding.Code+" "+object(finding))))
	sentence := finding.Message
	if finding.Path != "" {
		sentence = finding.Path + ": " + sentence
	}
	fmt.Fprintf(&text, "  %s\n", quote.Line(sentence))
	if line := strings.TrimSpace(finding.Source); line != "" {
		fmt.Fprintf(&text, "  %s\n", p.in(dim, fmt.Sprintf("%d | %s", finding.Line, quote.Line(line))))
	}
	p.said = true
	_, err := io.WriteString(p.w, quote.Printed(text.String()))
	return err
}

func (p *textPrinter) Close(summary Summary) error {
	var text strings.Builder
	if p.said {
		fmt.Fprintf(&text, "%s: %s, %s\n", count(summary.Objects, "object", "objects"),
			count(summary.Deny, "finding denies", "findings deny"), count(summary.Warn, "warning", "warnings"))
		if verdicts := summary.Verdicts.String(); verdicts != "" {
			fmt.Fprintf(&text, "verdicts: %s\n", verdicts)
		}
	}
	for _, one := range summary.unchecked() {
		fmt.Fprintf(&text, "not checked: %s: %s\n", one.what, quote.Line(one.why))
	}
	_, err := io.WriteString(p.w, text.String())
	return err
}

func (p *textPrinter) in(colour, text string) string {
	if !p.colour {
		return text
	}
	return colour + text + reset
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// object names the object of a finding: "APIRule shop/cart".
func object(finding Finding) string {
	name := finding.Name
	if finding.Namespace != "" {
		name = finding.Namespace + "/" + name
	}
	return strings.TrimSpace(finding.Kind + " " + name)
}

type jsonPrinter struct {
	w    io.Writer
	some bool
}

func (p *jsonPrinter) Print(finding Finding) error {
	separator := ",\n    "
	if !p.some {
		separator = "{\n  \"findings\": [\n    "
	}
	p.some = true
	return writeJSON(p.w, separator, finding, "    ", "")
}

func (p *jsonPrinter) Close(summary Summary) error {
	before := "\n  ],\n  \"summary\": "
	if !p.some {
		before = "{\n  \"findings\": [],\n  \"summary\": "
	}
	return writeJSON(p.w, before, summary, "  ", "\n}\n")
}

// writeJSON writes a value between two texts. Its lines but the first are
// indented by indent.
func writeJSON(w io.Writer, before string, value any, indent, after string) error {
	var text bytes.Buffer
	text.WriteString(before)
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(indent, "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	text.Truncate(text.Len() - 1) // the encoder's line end
	text.WriteString(after)
	_, err := w.Write(text.Bytes())
	return err
}

type yamlPrinter struct {
	w    io.Writer
	some bool
}

func (p *yamlPrinter) Print(finding Finding) error {
	raw, err := yamlItem(finding)
	if err != nil {
		return err
	}
	if !p.some {
		raw = slices.Concat([]byte("findings:\n"), raw)
	}
	p.some = true
	_, err = p.w.Write(raw)
	return err
}

// yamlItem renders a finding as an item of a list: as JSON, which is YAML too,
// where a text has a character that cannot be printed, which writers of YAML refuse
// or lose, or where a line would begin a command of a workflow.
func yamlItem(finding Finding) ([]byte, error) {
	raw, err := yaml.Marshal([]Finding{finding})
	texts := finding.File + finding.Kind + finding.Namespace + finding.Name + finding.Path + finding.Message
	if err == nil && quote.Line(texts) == texts && quote.Printed(string(raw)) == string(raw) {
		return raw, nil
	}
	var item bytes.Buffer
	if err := writeJSON(&item, "- ", finding, "  ", "\n"); err != nil {
		return nil, err
	}
	return escapeUnprintable(item.Bytes()), nil
}

// escapeUnprintable escapes what JSON may have in a text and YAML may not (YAML
// 1.2.2, rule 1, c-printable), and its line ends.
func escapeUnprintable(raw []byte) []byte {
	var text bytes.Buffer
	for _, r := range string(raw) {
		if (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == '\ufffe' || r == '\uffff' {
			fmt.Fprintf(&text, `\u%04x`, r)
			continue
		}
		text.WriteRune(r)
	}
	return text.Bytes()
}

func (p *yamlPrinter) Close(summary Summary) error {
	raw, err := yaml.Marshal(map[string]Summary{"summary": summary})
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if !p.some {
		raw = slices.Concat([]byte("findings: []\n"), raw)
	}
	_, err = p.w.Write(raw)
	return err
}

// githubPrinter writes workflow commands
// (https://docs.github.com/actions, "Workflow commands", setting a message).
type githubPrinter struct{ w io.Writer }

func (p *githubPrinter) Print(finding Finding) error {
	command := map[policy.Severity]string{policy.Deny: "error", policy.Warn: "warning", policy.Report: "notice"}[finding.Severity]
	message := finding.Message
	if finding.Path != "" {
		message = fmt.Sprintf("%s: %s: %s", object(finding), finding.Path, message)
	}
	_, err := fmt.Fprintf(p.w, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", command,
		escapeProperty(finding.File), finding.Line, finding.Column, escapeProperty(finding.Code), escapeData(message))
	return err
}

func (p *githubPrinter) Close(summary Summary) error {
	for _, one := range summary.unchecked() {
		if _, err := fmt.Fprintf(p.w, "::notice title=Not checked::%s\n", escapeData(one.what+": "+one.why)); err != nil {
			return err
		}
	}
	return nil
}

func escapeData(text string) string {
	return strings.ReplaceAll(quote.Line(text), "%", "%25")
}

func escapeProperty(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeData(text))
}
