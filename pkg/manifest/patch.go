// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Patch is what changes on one object of a document.
type Patch struct {
	// Pointer is that of the object, see [Object.Pointer].
	Pointer    string
	Operations []apirule.Operation
}

// Patch returns the text of the document with all patches applied, of which each
// is for another object. The cost is in proportion to the text.
//
// Where the text allows, only the lines that the operations mean change, and
// comments, quotes, blank lines, line ends and the order of keys stay as they are.
// Where it does not (anchors), the document is written anew, which keeps comments
// and order. Either way the result is parsed again and compared with what the API
// server would make of the operations; a text that would mean anything else is an
// error and never returned.
func (c *Content) Patch(patches []Patch) ([]byte, error) {
	patches = slices.DeleteFunc(slices.Clone(patches), func(one Patch) bool { return len(one.Operations) == 0 })
	if len(patches) == 0 {
		return c.document.Text, nil
	}
	want, err := c.patched(patches)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, write := range []func([]Patch) ([]byte, error){c.edit, c.rewrite} {
		text, err := write(patches)
		if err == nil {
			err = Document{Text: text, Line: c.document.Line}.means(want)
		}
		if err == nil {
			return text, nil
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("changing the document at line %d: %w", c.document.Line, errors.Join(problems...))
}

// patched returns what the API server would make of the document.
func (c *Content) patched(patches []Patch) (any, error) {
	value, err := asJSON(c.value)
	if err != nil {
		return nil, err
	}
	for _, patch := range patches {
		at := slot(&value, patch.Pointer)
		if at == nil {
			return nil, fmt.Errorf("there is no object at %q", patch.Pointer)
		}
		raw, err := json.Marshal(at.value())
		if err != nil {
			return nil, fmt.Errorf("encoding an object: %w", err)
		}
		if raw, err = apirule.Apply(raw, patch.Operations); err != nil {
			return nil, err
		}
		var after any
		if err := json.Unmarshal(raw, &after); err != nil {
			return nil, fmt.Errorf("reading the patched object: %w", err)
		}
		at.set(after)
	}
	return value, nil
}

// holder is where an object of a document is.
type holder struct {
	whole *any
	items []any
	index int
}

// slot finds an object by [Object.Pointer]; nil if there is none.
func slot(root *any, pointer string) *holder {
	if pointer == "" {
		return &holder{whole: root}
	}
	object, _ := (*root).(map[string]any)
	items, _ := object["items"].([]any)
	index, err := strconv.Atoi(strings.TrimPrefix(pointer, "/items/"))
	if err != nil || index < 0 || index >= len(items) {
		return nil
	}
	return &holder{items: items, index: index}
}

func (h *holder) value() any {
	if h.whole != nil {
		return *h.whole
	}
	return h.items[h.index]
}

func (h *holder) set(value any) {
	if h.whole != nil {
		*h.whole = value
		return
	}
	h.items[h.index] = value
}

func (d Document) means(want any) error {
	content, err := d.Read()
	if err != nil {
		return err
	}
	got, err := asJSON(content.value)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(want, got) {
		return errors.New("the changed text does not mean what the patch means")
	}
	return nil
}

// asJSON returns a value as a decoder of JSON has it.
func asJSON(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	var decoded any
	if err := json.Unmarshal(raw, &decoded); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	return decoded, nil
}

// rewrite applies the patches to the nodes and writes all of them.
func (c *Content) rewrite(patches []Patch) ([]byte, error) {
	again := &Content{document: c.document, text: c.text, lines: c.lines} // edit needs its nodes no more, Objects does
	if err := again.parse(); err != nil {
		return nil, err
	}
	for _, patch := range patches {
		for _, operation := range patch.Operations {
			operation.Path = patch.Pointer + operation.Path
			if operation.From != "" {
				operation.From = patch.Pointer + operation.From
			}
			if err := applyTo(again.root, operation); err != nil {
				return nil, err
			}
		}
	}
	var text strings.Builder
	if isMarker(c.text, "---") {
		text.WriteString("---\n")
	}
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(again.whole()); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return c.framed(text.String()), nil
}

// framed gives a text that was written anew the mark, the line ends and the end
// of the one that was read.
func (c *Content) framed(text string) []byte {
	if len(c.text) > 0 && c.text[len(c.text)-1] != '\n' {
		text = strings.TrimSuffix(text, "\n")
	}
	if len(c.lines) > 1 && bytes.HasSuffix(c.text[:c.lines[1]], []byte("\r\n")) {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return append(bytes.Clone(c.mark), text...)
}

// applyTo applies one operation of the kinds that apirule.JSONPatch makes.
func applyTo(root *yaml.Node, operation apirule.Operation) error {
	var value *yaml.Node
	switch operation.Op {
	case "remove":
		_, err := removeNode(root, operation.Path)
		return err
	case "move":
		moved, err := removeNode(root, operation.From)
		if err != nil {
			return err
		}
		value = moved
	default:
		made := &yaml.Node{}
		if err := made.Encode(operation.Value); err != nil {
			return fmt.Errorf("encoding a value: %w", err)
		}
		value = made
	}
	parent, key, err := parentOf(root, operation.Path)
	if err != nil {
		return err
	}
	if i := keyIndex(parent, key); i >= 0 {
		parent.Content[i+1] = value
		return nil
	}
	parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
	return nil
}

func removeNode(root *yaml.Node, pointer string) (*yaml.Node, error) {
	parent, key, err := parentOf(root, pointer)
	if err != nil {
		return nil, err
	}
	i := keyIndex(parent, key)
	if i < 0 {
		return nil, fmt.Errorf("there is no %s to take away", pointer)
	}
	value := parent.Content[i+1]
	parent.Content = append(parent.Content[:i:i], parent.Content[i+2:]...)
	return value, nil
}

// parentOf returns the mapping that has, or will have, the last step of pointer.
func parentOf(root *yaml.Node, pointer string) (parent *yaml.Node, key string, err error) {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, token := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	}
	parent = resolve(root)
	for _, token := range tokens[:len(tokens)-1] {
		_, value := child(parent, token)
		if value == nil {
			return nil, "", fmt.Errorf("there is no %s", pointer)
		}
		if value.Kind == yaml.AliasNode {
			return nil, "", fmt.Errorf("%s is written at an anchor that other places use too; write it out first", pointer)
		}
		parent = value
	}
	if parent.Kind != yaml.MappingNode {
		return nil, "", fmt.Errorf("%s is not in an object", pointer)
	}
	return parent, tokens[len(tokens)-1], nil
}

func keyIndex(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}
