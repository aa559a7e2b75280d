// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// errUnusual says that a place in the text has a form that edit leaves to
// rewrite.
var errUnusual = errors.New("the text has an unusual form here")

// edit changes lines of the text. Each operation is applied to the text that the
// one before it left, so that no position is ever outdated.
func (d Document) edit(operations []apirule.Operation) ([]byte, error) {
	text := d.Text
	for _, operation := range operations {
		source, err := newSource(Document{Text: text, Line: d.Line})
		if err != nil {
			return nil, err
		}
		switch operation.Op {
		case "add":
			text, err = source.add(operation.Path, operation.Value)
		case "remove":
			text, err = source.remove(operation.Path)
		case "move":
			text, err = source.move(operation.From, operation.Path)
		default:
			err = errUnusual
		}
		if err != nil {
			return nil, err
		}
	}
	return text, nil
}

// source is a text and where its nodes are.
type source struct {
	text  []byte
	lines []int // the offset of each line
	root  *yaml.Node
	order []*yaml.Node // all nodes as they follow in the text
	style style
}

func newSource(d Document) (*source, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, errUnusual
	}
	s := &source{text: d.Text, root: root, lines: []int{0}}
	for i, c := range d.Text {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	s.collect(root)
	s.style = styleOf(s.order)
	return s, nil
}

func (s *source) collect(node *yaml.Node) {
	s.order = append(s.order, node)
	for _, inner := range node.Content {
		s.collect(inner)
	}
}

// offset returns where a node begins in the text.
func (s *source) offset(node *yaml.Node) int {
	at := s.lines[node.Line-1]
	for range node.Column - 1 {
		_, size := utf8.DecodeRune(s.text[at:])
		at += size
	}
	return at
}

// end returns the offset behind the last line of a node that stands in lines of
// its own. Blank lines and comments that are indented less than indent come
// after it and are not part of it.
func (s *source) end(node *yaml.Node, indent int) (int, error) {
	last := node
	for len(last.Content) > 0 {
		last = last.Content[len(last.Content)-1]
	}
	end := len(s.text)
	for i, one := range s.order {
		if one == last && i+1 < len(s.order) {
			next := s.order[i+1]
			if next.Line <= last.Line {
				return 0, errUnusual
			}
			end = s.lines[next.Line-1]
		}
	}
	for end > 0 {
		start := bytes.LastIndexByte(s.text[:end-1], '\n') + 1
		line := bytes.TrimRight(s.text[start:end], " \t\r\n")
		content := bytes.TrimLeft(line, " ")
		outside := len(content) > 0 && content[0] == '#' && len(line)-len(content) < indent
		if len(content) > 0 && !outside && !isMarker(line, "...") {
			break
		}
		end = start
	}
	return end, nil
}

// add sets a key of a mapping that exists.
func (s *source) add(pointer string, value any) ([]byte, error) {
	parent, key, err := parentOf(s.root, pointer)
	if err != nil {
		return nil, err
	}
	if keyIndex(parent, key) >= 0 {
		return s.replace(parent, key, value)
	}
	if isFlow(parent) {
		return s.addInBraces(parent, key, value)
	}
	return s.addLines(parent, func(indent int) string { return s.style.entry(indent, key, value) })
}

// addLines adds an entry behind the last one of a mapping in lines.
func (s *source) addLines(parent *yaml.Node, render func(indent int) string) ([]byte, error) {
	if isFlow(parent) || len(parent.Content) == 0 {
		return nil, errUnusual
	}
	indent := parent.Content[0].Column - 1
	end, err := s.end(parent, indent)
	if err != nil {
		return nil, err
	}
	entry := strings.Repeat(" ", indent) + render(indent)
	if end > 0 && s.text[end-1] != '\n' {
		entry = "\n" + strings.TrimSuffix(entry, "\n")
	}
	return s.splice(end, end, entry), nil
}

// addInBraces adds an entry in front of the first one of a mapping in braces,
// written as JSON, which is YAML too.
func (s *source) addInBraces(parent *yaml.Node, key string, value any) ([]byte, error) {
	at := s.offset(parent)
	if at >= len(s.text) || s.text[at] != '{' {
		return nil, errUnusual
	}
	entry, err := jsonEntry(key, value)
	if err != nil {
		return nil, err
	}
	if len(parent.Content) > 0 {
		first := s.offset(parent.Content[0])
		gap := string(s.text[at+1 : first])
		if !strings.Contains(gap, "\n") {
			gap = " "
		}
		return s.splice(first, first, entry+","+gap), nil
	}
	return s.splice(at+1, at+1, entry), nil
}

// replace writes an entry anew, in its place.
func (s *source) replace(parent *yaml.Node, key string, value any) ([]byte, error) {
	start, end, err := s.entry(parent, key)
	if err != nil {
		return nil, err
	}
	entry := s.style.entry(parent.Content[0].Column-1, key, value)
	if s.text[end-1] != '\n' {
		entry = strings.TrimSuffix(entry, "\n")
	}
	return s.splice(start, end, entry), nil
}

// entry returns the offsets of an entry of a mapping in lines: from its key to
// the end of its last line.
func (s *source) entry(parent *yaml.Node, key string) (start, end int, err error) {
	i := keyIndex(parent, key)
	if i < 0 || isFlow(parent) || anchored(parent.Content[i+1]) {
		return 0, 0, errUnusual
	}
	name, value := parent.Content[i], parent.Content[i+1]
	end, err = s.end(value, name.Column)
	return s.offset(name), end, err
}

func (s *source) remove(pointer string) ([]byte, error) {
	parent, key, err := parentOf(s.root, pointer)
	if err != nil {
		return nil, err
	}
	if isFlow(parent) {
		return s.removeInBraces(parent, key)
	}
	start, end, err := s.entry(parent, key)
	if err != nil {
		return nil, err
	}
	i := keyIndex(parent, key)
	lineStart := s.lines[parent.Content[i].Line-1]
	if len(bytes.TrimSpace(s.text[lineStart:start])) == 0 {
		return s.splice(lineStart, end, ""), nil
	}
	// The key stands behind the dash of a list: the next one takes its place.
	if i+2 >= len(parent.Content) {
		return nil, errUnusual
	}
	return s.splice(start, s.offset(parent.Content[i+2]), ""), nil
}

// removeInBraces takes away an entry whose value is a plain word.
func (s *source) removeInBraces(parent *yaml.Node, key string) ([]byte, error) {
	i := keyIndex(parent, key)
	if i < 0 {
		return nil, errUnusual
	}
	value := parent.Content[i+1]
	if value.Kind != yaml.ScalarNode || value.Style != 0 || anchored(value) {
		return nil, errUnusual
	}
	start, end := s.offset(parent.Content[i]), s.offset(value)+len(value.Value)
	if i+2 < len(parent.Content) {
		return s.splice(start, s.offset(parent.Content[i+2]), ""), nil
	}
	comma := bytes.LastIndexByte(s.text[:start], ',')
	if i == 0 || comma < 0 || len(bytes.TrimSpace(s.text[comma+1:start])) > 0 {
		return nil, errUnusual
	}
	return s.splice(comma, end, ""), nil
}

// move takes an entry away and puts its very text below another mapping.
func (s *source) move(from, to string) ([]byte, error) {
	parent, key, err := parentOf(s.root, from)
	if err != nil {
		return nil, err
	}
	start, end, err := s.entry(parent, key)
	if err != nil {
		return nil, err
	}
	name := parent.Content[keyIndex(parent, key)]
	entry, plain := strings.CutPrefix(string(s.text[start:end]), key)
	if !plain || name.Style != 0 {
		return nil, errUnusual
	}
	text, err := s.remove(from)
	if err != nil {
		return nil, err
	}
	rest, err := newSource(Document{Text: text, Line: 1})
	if err != nil {
		return nil, err
	}
	target, newKey, err := parentOf(rest.root, to)
	if err != nil {
		return nil, err
	}
	return rest.addLines(target, func(indent int) string {
		moved := shift(newKey+entry, indent-(name.Column-1))
		if !strings.HasSuffix(moved, "\n") {
			moved += "\n"
		}
		return moved
	})
}

// shift indents all lines but the first by more columns, or fewer.
func shift(text string, columns int) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		switch {
		case i == 0 || strings.TrimSpace(line) == "":
		case columns >= 0:
			lines[i] = strings.Repeat(" ", columns) + line
		default:
			lines[i] = line[min(-columns, len(line)-len(strings.TrimLeft(line, " "))):]
		}
	}
	return strings.Join(lines, "")
}

func (s *source) splice(start, end int, text string) []byte {
	return append(append(bytes.Clone(s.text[:start]), text...), s.text[end:]...)
}

func isFlow(node *yaml.Node) bool { return node.Style&yaml.FlowStyle != 0 }

func anchored(node *yaml.Node) bool {
	return node.Anchor != "" || node.Kind == yaml.AliasNode || node.Style&yaml.TaggedStyle != 0
}
