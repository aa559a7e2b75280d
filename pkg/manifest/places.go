// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// places knows where the nodes of a text are. To make it costs one pass, and no
// question costs more than what it is about.
type places struct {
	text  []byte
	lines []int
	// order has all nodes as they follow in the text, at the place of each in it.
	order []*yaml.Node
	at    map[*yaml.Node]place
	// newline is the line end that the text has.
	newline string
}

type place struct{ offset, order int }

func (c *Content) places() *places {
	p := &places{text: c.text, lines: c.lines, at: map[*yaml.Node]place{}, newline: "\n"}
	if len(c.lines) > 1 && bytes.HasSuffix(c.text[:c.lines[1]], []byte("\r\n")) {
		p.newline = "\r\n"
	}
	walk := cursor{p: p, known: c.offsets}
	walk.collect(c.root)
	return p
}

// cursor goes through a text and its nodes at once.
type cursor struct {
	p                    *places
	known                map[*yaml.Node]int
	line, column, offset int
}

func (c *cursor) collect(node *yaml.Node) {
	offset, isKnown := c.known[node]
	if !isKnown {
		offset = c.find(node)
	}
	c.p.at[node] = place{offset: offset, order: len(c.p.order)}
	c.p.order = append(c.p.order, node)
	for _, inner := range node.Content {
		c.collect(inner)
	}
}

// find returns where a node begins. Columns are counted in characters.
func (c *cursor) find(node *yaml.Node) int {
	if node.Line != c.line || node.Column < c.column {
		c.line, c.column = node.Line, 1
		c.offset = c.p.lines[min(max(node.Line, 1), len(c.p.lines))-1]
	}
	for c.column < node.Column && c.offset < len(c.p.text) {
		_, size := utf8.DecodeRune(c.p.text[c.offset:])
		c.offset += size
		c.column++
	}
	return c.offset
}

func (p *places) offset(node *yaml.Node) int { return p.at[node].offset }

// endOfLines returns the offset behind the last line of a node that stands in
// lines of its own. Blank lines and comments that are indented less than indent
// come after it and are not part of it.
func (p *places) endOfLines(node *yaml.Node, indent int) (int, error) {
	last := node
	for len(last.Content) > 0 {
		last = last.Content[len(last.Content)-1]
	}
	end := len(p.text)
	if next := p.at[last].order + 1; next < len(p.order) {
		if p.order[next].Line <= last.Line {
			return 0, errUnusual
		}
		end = p.lines[p.order[next].Line-1]
	}
	for end > 0 {
		start := bytes.LastIndexByte(p.text[:end-1], '\n') + 1
		line := bytes.TrimRight(p.text[start:end], " \t\r\n")
		content := bytes.TrimLeft(line, " ")
		outside := len(content) > 0 && content[0] == '#' && len(line)-len(content) < indent
		if len(content) > 0 && !outside && !isMarker(line, "...") {
			break
		}
		end = start
	}
	return end, nil
}

// end returns the offset behind a node that stands within a line, or in braces.
func (p *places) end(node *yaml.Node) (int, error) {
	if anchored(node) {
		return 0, errUnusual
	}
	if node.Kind == yaml.ScalarNode {
		return p.endOfScalar(node)
	}
	if !isFlow(node) {
		return 0, errUnusual
	}
	at := p.offset(node) + 1
	if len(node.Content) > 0 {
		end, err := p.end(node.Content[len(node.Content)-1])
		if err != nil {
			return 0, err
		}
		at = end
	}
	at = p.skip(at, ",")
	if at >= len(p.text) || (p.text[at] != '}' && p.text[at] != ']') {
		return 0, errUnusual
	}
	return at + 1, nil
}

func (p *places) endOfScalar(node *yaml.Node) (int, error) {
	start := p.offset(node)
	switch {
	case isEmpty(node):
		return start, nil
	case node.Style&yaml.DoubleQuotedStyle != 0:
		return p.endOfQuotes(start, '"')
	case node.Style&yaml.SingleQuotedStyle != 0:
		return p.endOfQuotes(start, '\'')
	case node.Style == 0 && bytes.HasPrefix(p.text[start:], []byte(node.Value)) && !strings.Contains(node.Value, "\n"):
		return start + len(node.Value), nil
	}
	return 0, errUnusual
}

// endOfQuotes returns the offset behind a text in quotes: double ones escape by a
// backslash, single ones are doubled.
func (p *places) endOfQuotes(start int, quote byte) (int, error) {
	if start >= len(p.text) || p.text[start] != quote {
		return 0, errUnusual
	}
	for at := start + 1; at < len(p.text); at++ {
		switch {
		case p.text[at] == '\\' && quote == '"':
			at++
		case p.text[at] != quote:
		case quote == '\'' && at+1 < len(p.text) && p.text[at+1] == quote:
			at++
		default:
			return at + 1, nil
		}
	}
	return 0, errUnusual
}

// skip returns the offset of the next character that is no space, line end,
// comment or one of more.
func (p *places) skip(at int, more string) int {
	for at < len(p.text) {
		switch c := p.text[at]; {
		case c == '#' && (at == 0 || bytes.IndexByte([]byte(" \t\r\n"), p.text[at-1]) >= 0):
			at = p.endOfLine(at)
		case bytes.IndexByte([]byte(" \t\r\n"), c) >= 0 || strings.IndexByte(more, c) >= 0:
			at++
		default:
			return at
		}
	}
	return at
}

// endOfLine returns the offset of the line end behind at, or that of the end.
func (p *places) endOfLine(at int) int {
	if end := bytes.IndexAny(p.text[at:], "\r\n"); end >= 0 {
		return at + end
	}
	return len(p.text)
}

// colon returns the offset behind the colon of a key.
func (p *places) colon(key *yaml.Node) (int, error) {
	end, err := p.end(key)
	if err != nil {
		return 0, err
	}
	for end < len(p.text) && p.text[end] == ' ' {
		end++
	}
	if end >= len(p.text) || p.text[end] != ':' {
		return 0, errUnusual
	}
	return end + 1, nil
}

func isFlow(node *yaml.Node) bool { return node.Style&yaml.FlowStyle != 0 }

// isEmpty is true for a null that nobody wrote: "key:".
func isEmpty(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Value == "" && node.Style == 0
}

func anchored(node *yaml.Node) bool {
	return node.Anchor != "" || node.Kind == yaml.AliasNode || node.Style&yaml.TaggedStyle != 0
}
