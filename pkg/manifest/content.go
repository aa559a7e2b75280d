// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Content is a document that was read once.
type Content struct {
	// Objects are the objects of the document, those of a List one by one.
	Objects []Object

	document Document
	text     []byte     // without mark
	mark     []byte     // what the text began with that no parser wants
	lines    []int      // the offset of each line of text
	parsed   *yaml.Node // the whole document, with the comments around the root
	root     *yaml.Node
	value    any
	offsets  map[*yaml.Node]int // only of JSON
}

// byteOrderMark is what some editors of Windows begin a file with.
const byteOrderMark = "\ufeff"

// Read reads the document. One without content, and one that is no object, has no
// objects. The error is a *SyntaxError.
func (d Document) Read() (*Content, error) {
	c := &Content{document: d, text: d.Text}
	if rest, marked := bytes.CutPrefix(d.Text, []byte(byteOrderMark)); marked {
		c.mark, c.text = d.Text[:len(byteOrderMark)], rest
	}
	c.lines = linesOf(c.text)
	if err := c.parse(); err != nil || c.root == nil {
		return c, err
	}
	var err error
	if c.value, err = d.decode(c.root); err != nil {
		return c, err
	}
	c.Objects = c.objects()
	return c, nil
}

// Parse returns the objects of the document, as [Document.Read] does.
func (d Document) Parse() ([]Object, error) {
	content, err := d.Read()
	return content.Objects, err
}

// parse reads the nodes; none for a document without content.
func (c *Content) parse() error {
	if isJSON(c.text) {
		root, offsets, err := jsonNodes(c.text, c.lines)
		if err != nil {
			return &SyntaxError{Line: c.document.Line, Column: 1, Problem: err.Error()}
		}
		c.root, c.offsets = root, offsets
		return nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(c.text, &document); err != nil {
		return c.syntaxError(err)
	}
	if len(document.Content) > 0 {
		c.parsed, c.root = &document, document.Content[0]
	}
	return nil
}

// whole is what a writer of YAML takes.
func (c *Content) whole() *yaml.Node {
	if c.parsed != nil {
		return c.parsed
	}
	return c.root
}

func (c *Content) objects() []Object {
	object, ok := c.value.(map[string]any)
	if !ok {
		return nil
	}
	items, isList := object["items"].([]any)
	kind, _ := object["kind"].(string)
	if !isList || !strings.HasSuffix(kind, "List") {
		return []Object{{Value: object, node: c.root, content: c}}
	}
	nodes := lookUp(c.root, "items")
	objects := make([]Object, 0, len(items))
	for i, item := range items {
		if one, ok := item.(map[string]any); ok {
			objects = append(objects, Object{
				Value: typed(one, object, kind), Pointer: fmt.Sprintf("/items/%d", i),
				node: resolve(nodes.Content[i]), content: c,
			})
		}
	}
	return objects
}

// typed returns an item of a list as the API server understands it: those of a
// list of one kind need not say which, "APIRuleList" does. The item itself stays
// as it is.
func typed(item, list map[string]any, kind string) map[string]any {
	of := strings.TrimSuffix(kind, "List")
	if item["kind"] != nil || item["apiVersion"] != nil || of == "" || list["apiVersion"] == nil {
		return item
	}
	full := make(map[string]any, len(item)+2)
	maps.Copy(full, item)
	full["kind"], full["apiVersion"] = of, list["apiVersion"]
	return full
}

// maxLine is how many bytes of a line are shown. A file may be one line, and every
// finding shows its own.
const maxLine = 512

// line returns a line of the text, counted as nodes count them, without its end; of
// a long one the beginning.
func (c *Content) line(number int) string {
	if number < 1 || number > len(c.lines) {
		return ""
	}
	end := len(c.text)
	if number < len(c.lines) {
		end = c.lines[number]
	}
	start := c.lines[number-1]
	if end-start > maxLine {
		return strings.ToValidUTF8(string(c.text[start:start+maxLine]), "") + "…"
	}
	return strings.TrimRight(string(c.text[start:end]), "\r\n\u0085\u2028\u2029")
}

// linesOf returns the offset of each line of a text. YAML knows more line ends
// than most formats, and its parser counts them all (YAML 1.1, section 4.2).
func linesOf(text []byte) []int {
	lines := []int{0}
	for i := 0; i < len(text); {
		if size := lengthOfLineEnd(text[i:]); size > 0 {
			i += size
			lines = append(lines, i)
			continue
		}
		_, size := utf8.DecodeRune(text[i:])
		i += size
	}
	return lines
}

// lengthOfLineEnd returns how many bytes of a line end text begins with.
func lengthOfLineEnd(text []byte) int {
	switch {
	case len(text) == 0:
		return 0
	case text[0] == '\n':
		return 1
	case text[0] == '\r':
		if len(text) > 1 && text[1] == '\n' {
			return 2
		}
		return 1
	case text[0] < utf8.RuneSelf:
		return 0
	}
	r, size := utf8.DecodeRune(text)
	if r == '\u0085' || r == '\u2028' || r == '\u2029' {
		return size
	}
	return 0
}
