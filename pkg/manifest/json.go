// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDepth bounds how deeply JSON may be nested; encoding/json has the same bound.
const maxDepth = 10000

var errDepth = errors.New("nested too deeply")

// isJSON is true for a text that encoding/json reads, which is what kubectl gives
// it to. It need not be YAML: YAML has no surrogate pairs (YAML 1.2.2, section
// 5.7).
func isJSON(text []byte) bool {
	content := bytes.TrimLeft(text, " \t\r\n")
	return len(content) > 0 && content[0] == '{' && json.Valid(content)
}

// jsonNodes reads a text that [isJSON] accepts into the nodes that YAML has, with
// their offsets.
func jsonNodes(text []byte, lines []int) (*yaml.Node, map[*yaml.Node]int, error) {
	r := &jsonReader{text: text, lines: lines, tokens: json.NewDecoder(bytes.NewReader(text)), offsets: map[*yaml.Node]int{}}
	r.tokens.UseNumber()
	root, err := r.value(0)
	return root, r.offsets, err
}

type jsonReader struct {
	text    []byte
	lines   []int
	line    int // the index in lines of the last token, which only grows
	tokens  *json.Decoder
	offsets map[*yaml.Node]int
	// column is that of the offset counted, on the line counted.
	counted, column int
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	start := int(r.tokens.InputOffset())
	for start < len(r.text) && bytes.IndexByte([]byte(" \t\r\n,:"), r.text[start]) >= 0 {
		start++
	}
	token, err := r.tokens.Token()
	if err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	node := r.at(start)
	switch of := token.(type) {
	case json.Delim:
		node.Style = yaml.FlowStyle
		node.Kind = yaml.MappingNode
		if of == '[' {
			node.Kind = yaml.SequenceNode
		}
		for r.tokens.More() {
			inner, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, inner)
		}
		_, err = r.tokens.Token() // the closing bracket
		return node, err
	case string:
		node.Tag, node.Value, node.Style = "!!str", of, yaml.DoubleQuotedStyle
	default:
		node.Value = string(r.text[start:r.tokens.InputOffset()])
		node.Tag = tagOf(token)
	}
	return node, nil
}

// at returns a scalar without value that begins at an offset.
func (r *jsonReader) at(start int) *yaml.Node {
	for r.line+1 < len(r.lines) && r.lines[r.line+1] <= start {
		r.line++
	}
	if r.counted < r.lines[r.line] {
		r.counted, r.column = r.lines[r.line], 1
	}
	if r.column == 0 {
		r.column = 1
	}
	r.column += len([]rune(string(r.text[r.counted:start])))
	r.counted = start
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line + 1, Column: r.column}
	r.offsets[node] = start
	return node
}

// tagOf returns the tag that YAML has for a number, a boolean or null.
func tagOf(token json.Token) string {
	switch of := token.(type) {
	case bool:
		return "!!bool"
	case json.Number:
		if _, err := strconv.ParseUint(strings.TrimPrefix(of.String(), "-"), 10, 63); err == nil && of != "-0" {
			return "!!int"
		}
		return "!!float"
	}
	return "!!null"
}
