// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// SyntaxError says where a document is not what kubectl would take.
type SyntaxError struct {
	// Line and Column are those of the stream, from 1.
	Line, Column int
	// Problem is lower case and without full stop.
	Problem string
}

// Error returns "line 3, column 4: problem".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// Object is one Kubernetes object of a document.
type Object struct {
	// Value is the object as decoded JSON: maps, slices, strings, booleans,
	// int64 and float64. Its owner is the caller.
	Value map[string]any
	// Pointer is the JSON Pointer of the object in its document: "" or, in a
	// list, "/items/0".
	Pointer string

	node    *yaml.Node
	content *Content
}

// templateHint follows what is wrong with a text that has the braces of a template.
const templateHint = "; is this a template that was not rendered?"

func (c *Content) syntaxError(err error) error {
	d := c.document
	var loading *yaml.LoadError
	if !errors.As(err, &loading) {
		return &SyntaxError{Line: d.Line, Column: 1, Problem: err.Error()}
	}
	// What was begun and does not end is noticed behind the last line, where
	// there is nothing to look at.
	mark, lines := loading.Mark, bytes.Count(bytes.TrimSpace(c.text), []byte("\n"))+1
	if mark.Line > lines {
		mark = loading.ContextMark
	}
	if mark.Line == 0 || mark.Line > lines {
		mark.Line, mark.Column = lines, 1
	}
	problem := loading.Message
	if bytes.Contains(c.text, []byte("{{")) {
		problem += templateHint
	}
	if loading.ContextMsg != "" {
		problem += " " + loading.ContextMsg
	}
	return &SyntaxError{
		Line:    d.Line + max(mark.Line, 1) - 1,
		Column:  max(mark.Column, 1),
		Problem: problem,
	}
}

// Locate returns the line of the stream and the column of a field, given as a
// path of k8s.io/apimachinery's field package. Where the object lacks the field,
// it is the place of the nearest parent that it has.
func (o Object) Locate(path string) (line, column int) {
	node, at := o.node, o.node
	for _, step := range steps(path) {
		key, value := child(node, step)
		if value == nil {
			break
		}
		node, at = resolve(value), key
	}
	return o.content.document.Line + at.Line - 1, at.Column
}

// Source returns a line of the stream that [Object.Locate] returned, without its
// end.
func (o Object) Source(line int) string {
	return o.content.line(line - o.content.document.Line + 1)
}

// child returns the entry of a mapping or the item of a sequence, and the node
// that stands where it begins.
func child(node *yaml.Node, step string) (at, value *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		var index int
		if _, err := fmt.Sscanf(step, "%d", &index); err == nil && index >= 0 && index < len(node.Content) {
			return node.Content[index], node.Content[index]
		}
	default:
	}
	return nil, nil
}

func lookUp(node *yaml.Node, key string) *yaml.Node {
	_, value := child(node, key)
	return resolve(value)
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

// steps takes a field path apart: "spec.rules[0]" and
// "metadata.annotations[example.com/key]". A key in brackets may hold dots.
func steps(path string) []string {
	var all []string
	for path != "" {
		if rest, bracketed := strings.CutPrefix(path, "["); bracketed {
			key, after, _ := strings.Cut(rest, "]")
			all, path = append(all, key), strings.TrimPrefix(after, ".")
			continue
		}
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			return append(all, path)
		}
		all, path = append(all, path[:end]), strings.TrimPrefix(path[end:], ".")
	}
	return all
}
