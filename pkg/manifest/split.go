// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Kubernetes manifests, YAML and JSON, knows on which
// line each field is, and changes fields without touching anything else of the
// text.
//
// Values are those that kubectl would send: YAML 1.1 booleans included. It knows
// nothing of any kind of object.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Document is the text of one document of a stream.
type Document struct {
	// Text is the document as it was written, its separator line included: the
	// texts of all documents make the stream again.
	Text []byte
	// Line is the line of the stream, from 1, on which Text begins.
	Line int
}

// Split yields the documents of a stream one by one, so that no more than one of
// them is in memory. Documents end before a line "---", after a line "...", and
// after the closing brace of a JSON object, which lets JSON objects follow each
// other as kubectl and jq write them. No document is checked: a broken one does
// not hide the next. The error is one of reading and ends the stream.
func Split(r io.Reader) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		s := splitter{yield: yield, line: 1}
		lines := bufio.NewReaderSize(r, 8<<10)
		for {
			line, err := lines.ReadBytes('\n')
			if len(line) > 0 && !s.add(line) {
				return
			}
			switch {
			case errors.Is(err, io.EOF):
				s.flush()
				return
			case err != nil:
				yield(Document{Line: s.line}, fmt.Errorf("reading line %d: %w", s.line, err))
				return
			}
		}
	}
}

type splitter struct {
	yield func(Document, error) bool
	text  []byte
	// line is the number of the next line, first that of the first of text.
	line, first int
	// begun is true once text has more than comments and directives.
	begun bool
	braces
}

// add takes one line, and returns false when nobody wants to hear more.
func (s *splitter) add(line []byte) bool {
	if s.begun && isMarker(line, "---") && !s.flush() {
		return false
	}
	if !s.begun && line[0] != '#' && line[0] != '%' {
		s.begin(line)
	}
	for s.open {
		end := s.closing(line)
		if end < 0 {
			break
		}
		if len(bytes.TrimSpace(line[end:])) == 0 {
			s.append(line)
			s.line++
			return s.flush()
		}
		s.append(line[:end])
		if !s.flush() {
			return false
		}
		line = line[end:]
		s.begin(line)
	}
	s.append(line)
	s.line++
	return !isMarker(line, "...") || s.flush()
}

// begin begins a document with what is in line, if anything is.
func (s *splitter) begin(line []byte) {
	if content := bytes.TrimLeft(line, " \t\r\n\ufeff"); len(content) > 0 {
		s.begun = true
		s.braces = braces{open: content[0] == '{'}
	}
}

func (s *splitter) append(line []byte) {
	if len(s.text) == 0 {
		s.first = s.line
	}
	s.text = append(s.text, line...)
}

func (s *splitter) flush() bool {
	if len(s.text) == 0 {
		return true
	}
	document := Document{Text: s.text, Line: s.first}
	s.text, s.begun, s.braces = nil, false, braces{}
	return s.yield(document, nil)
}

// isMarker is true for a line that is marker, perhaps with something behind it;
// YAML forbids such a line everywhere but between documents (YAML 1.2.2, rule
// 206, c-forbidden).
func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n')
}

// braces follows the nesting of a document that begins with a brace.
type braces struct {
	open    bool
	depth   int
	quote   byte
	escaped bool
}

// closing returns the offset behind the brace that closes the document, or -1 if
// line does not have it.
func (b *braces) closing(line []byte) int {
	for i, c := range line {
		if b.quote != 0 {
			b.quoted(c)
			continue
		}
		switch c {
		case '"', '\'':
			b.quote = c
		case '#':
			if i > 0 && line[i-1] == ' ' {
				return -1
			}
		case '{', '[':
			b.depth++
		case '}', ']':
			b.depth--
			if b.depth == 0 {
				b.open = false
				return i + 1
			}
		}
	}
	return -1
}

// quoted follows a text in quotes, of which only double ones know escapes.
func (b *braces) quoted(c byte) {
	switch {
	case b.escaped:
		b.escaped = false
	case b.quote == '"' && c == '\\':
		b.escaped = true
	case c == b.quote:
		b.quote = 0
	}
}
