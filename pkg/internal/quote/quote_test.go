// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package quote_test

import (
	"encoding/csv"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"a sentence, \"so\" é":   "a sentence, \"so\" é",
		"C:\\n":                  "C:\\n",
		"a\nb\rc\td":             `a\nb\rc\td`,
		"a\u0085b\u2028c\u2029d": `a\u0085b\u2028c\u2029d`,
		"\x1b[31mred\x00\x7f":    `\x1b[31mred\x00\x7f`,
		"\u202eright to left":    `\u202eright to left`,
		"\ufeffbom":              `\ufeffbom`,
		"\xff\xc3(":              `\xff\xc3(`,
		"\ufffd":                 `\ufffd`,
		"a\u00a0b":               `a\u00a0b`,
		"😀\U000e0001":            `😀\U000e0001`,
	} {
		assert.Equal(t, want, quote.Line(text), "%q", text)
	}
}

type name string

func TestFprintf(t *testing.T) {
	var text strings.Builder
	quote.Fprintf(&text, "%-4s|%d|%v|%s\n%s\n", "a", 7, errors.New("no\nway"), name("\x1b"), "")
	assert.Equal(t, "a   |7|no\\nway|\\x1b\n\n", text.String())
}

// A comment is a comment whatever it says: the document around it has the one key
// that it had, for a parser of YAML.
func FuzzCommentStaysAComment(f *testing.F) {
	for _, seed := range []string{
		"", "a\nb: 1", "a\rb: 1", "a\u0085b: 1", "a\u2028b: 1", "a\u2029b: 1", "a\r\n---\nb: 1", "\x00", "\ufeff", "\xff", "#", "\t", "a\vb: 1", "a\fb: 1", "\ue000", "\ufffe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var value map[string]any
		comment := quote.Comment(text)
		require.NoError(t, yaml.Unmarshal([]byte(comment+"key: value\n"+comment), &value), "%q", comment)
		assert.Equal(t, map[string]any{"key": "value"}, value, "%q", comment)
		line := quote.Line(text)
		assert.True(t, utf8.ValidString(line))
		assert.Equal(t, -1, strings.IndexFunc(line, func(r rune) bool { return !strconv.IsPrint(r) }), "%q", line)
		assert.Equal(t, line, quote.Line(line))
		assert.LessOrEqual(t, len(line), 10*len(text))
	})
}

// Lines of text begin no command of a workflow, and nothing else changes.
func FuzzPrintedIsNoCommand(f *testing.F) {
	for _, seed := range []string{"", "::error::x", "a\n \t::x::", "##[add-mask]", "a::b", "::::", "\n\n::", "#####[["} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := quote.Printed(text)
		for line := range strings.SplitSeq(got, "\n") {
			assert.False(t, strings.HasPrefix(strings.TrimSpace(line), "::"), "%q", line)
			assert.NotContains(t, line, "##[")
		}
		assert.Equal(t, strings.ReplaceAll(text, `\`, ""), strings.ReplaceAll(got, `\`, ""))
	})
}

// A row of CSV has the cells that it was made of, and none is a formula.
func FuzzCellStaysACell(f *testing.F) {
	for _, seed := range []string{"", "=cmd()", "\t=1", "+1", "-1", "@x", "::error::x", "a,b", "a\nb", `"`, "##[x"} {
		f.Add(seed, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var out strings.Builder
		writer := csv.NewWriter(&out)
		require.NoError(t, writer.Write([]string{quote.Cell(a), quote.Cell(b)}))
		writer.Flush()
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))
		assert.Equal(t, quote.Printed(out.String()), out.String())
		rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Len(t, rows[0], 2)
		for _, cell := range rows[0] {
			assert.NotRegexp(t, `^[\s=+\-@:#]`, cell)
		}
	})
}

// A cell of a Markdown table reads as the line that it was, and ends nowhere.
func FuzzMarkdownStaysACell(f *testing.F) {
	for _, seed := range []string{"", "a|b", `\|`, "a\nb", "<script>", "`x`", "[a](b)", "**x**", "&lt;", "$x$", "~~x~~"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell := quote.Markdown(text)
		var read strings.Builder
		escaped := false
		for _, r := range cell {
			switch {
			case escaped:
				escaped = false
				read.WriteRune(r)
			case r == '\\':
				escaped = true
			default:
				assert.NotContains(t, "`*_{}[]<>&|~#!^$\n\r", string(r), "markup in %q", cell)
				read.WriteRune(r)
			}
		}
		assert.False(t, escaped, "%q would take the end of its cell away", cell)
		assert.Equal(t, quote.Line(text), read.String())
	})
}
