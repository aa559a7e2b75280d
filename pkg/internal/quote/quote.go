// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package quote writes text that comes from somebody else's object into what this
// project prints, so that it stays text.
//
// There is one writer for each encoding. A caller that joins strings by hand
// writes no text of an object between them.
package quote

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns text as one line for people: what is not printable is written as
// Go writes it in a string, for example "\n", "\u2028" or "\x1b". The line has no
// line break of any format, no escape sequence of a terminal and no mark that
// changes the direction of what follows. It is valid UTF-8, and a text without
// such characters comes back as it is. A backslash stays a backslash, so Line is
// for reading, not for decoding.
func Line(text string) string {
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var line strings.Builder
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&line, `\x%02x`, rest[0])
		case hidden(r):
			line.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			line.WriteRune(r)
		}
		rest = rest[size:]
	}
	return line.String()
}

// Fprintf is [fmt.Fprintf] with every argument as one line, as [Line] writes it, so
// that only the format breaks lines. Numbers stay numbers.
func Fprintf(w io.Writer, format string, args ...any) {
	lines := make([]any, len(args))
	for i, arg := range args {
		switch arg.(type) {
		case int, int64, uint64, bool:
			lines[i] = arg
		default:
			lines[i] = Line(fmt.Sprint(arg))
		}
	}
	_, _ = fmt.Fprintf(w, format, lines...)
}

// hidden is true for a character that cannot be seen, or that is not in a text
// at all: [strings.IndexFunc] shows a byte that is no UTF-8 as U+FFFD.
func hidden(r rune) bool {
	return r == utf8.RuneError || !strconv.IsPrint(r)
}

// Printed returns lines that begin no command of a workflow: a runner of GitHub
// takes a line that begins with "::" for one, whatever printed it, and "##["
// anywhere for one of the older kind. Everything else stays, so that what is not
// printable has to be quoted by [Line] before.
func Printed(lines string) string {
	if !strings.Contains(lines, "::") && !strings.Contains(lines, "##[") {
		return lines
	}
	all := strings.SplitAfter(lines, "\n")
	for i, line := range all {
		content := strings.TrimLeftFunc(line, unicode.IsSpace)
		if strings.HasPrefix(content, "::") {
			line = line[:len(line)-len(content)] + `\` + content
		}
		all[i] = strings.ReplaceAll(line, "##[", `##\[`)
	}
	return strings.Join(all, "")
}

// Cell returns text as a cell of CSV that no spreadsheet takes for a formula
// (OWASP, "CSV injection"), on one line. Some cut blanks off before they look.
func Cell(text string) string {
	line := strings.ReplaceAll(Line(text), "##[", `##\[`)
	first, _ := utf8.DecodeRuneInString(line)
	if line != "" && (unicode.IsSpace(first) || strings.ContainsRune("=+-@:#", first)) {
		return "'" + line
	}
	return line
}

// Markdown returns text as it stands in a cell of a table: one line, in which
// every character that could be markup is escaped (CommonMark, section 2.4; GitHub
// Flavored Markdown, section 4.10).
func Markdown(text string) string {
	const markup = "\\`*_{}[]<>&|~#!^$"
	var cell strings.Builder
	for _, r := range Line(text) {
		if strings.ContainsRune(markup, r) {
			cell.WriteByte('\\')
		}
		cell.WriteRune(r)
	}
	return cell.String()
}

// Comment returns text as one comment of YAML, with the line break that ends it.
// YAML has more line breaks than most formats (YAML 1.1, section 4.2: LF, CR,
// NEL, LS and PS), and a comment ends at the first.
func Comment(text string) string {
	return "# " + Line(text) + "\n"
}
