// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Patch returns the text of the document with operations applied to the object
// at pointer, see [Object.Pointer].
//
// Where the text allows, only the lines that the operations mean change, and
// comments, quotes, blank lines and the order of keys stay as they are. Where it
// does not (anchors, or a value in braces that is taken away), the document is
// written anew, which keeps comments and order. Either way the result is parsed
// again and compared with what the API server would make of the operations; a
// text that would mean anything else is an error and never returned.
func (d Document) Patch(pointer string, operations []apirule.Operation) ([]byte, error) {
	if len(operations) == 0 {
		return d.Text, nil
	}
	operations = below(pointer, operations)
	want, err := d.patched(operations)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, write := range []func(Document, []apirule.Operation) ([]byte, error){Document.edit, Document.rewrite} {
		text, err := write(d, operations)
		if err == nil {
			err = Document{Text: text, Line: d.Line}.means(want)
		}
		if err == nil {
			return text, nil
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("changing the document at line %d: %w", d.Line, errors.Join(problems...))
}

// below prefixes the paths of operations.
func below(pointer string, operations []apirule.Operation) []apirule.Operation {
	all := make([]apirule.Operation, 0, len(operations))
	for _, operation := range operations {
		operation.Path = pointer + operation.Path
		if operation.From != "" {
			operation.From = pointer + operation.From
		}
		all = append(all, operation)
	}
	return all
}

// patched returns what the API server would make of the document.
func (d Document) patched(operations []apirule.Operation) (any, error) {
	raw, err := d.json()
	if err != nil {
		return nil, err
	}
	after, err := apirule.Apply(raw, operations)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(after, &value); err != nil {
		return nil, fmt.Errorf("reading the patched document: %w", err)
	}
	return value, nil
}

func (d Document) means(want any) error {
	raw, err := d.json()
	if err != nil {
		return err
	}
	var got any
	if err := json.Unmarshal(raw, &got); err != nil {
		return fmt.Errorf("reading the changed document: %w", err)
	}
	if !reflect.DeepEqual(want, got) {
		return errors.New("the changed text does not mean what the patch means")
	}
	return nil
}

func (d Document) json() ([]byte, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	value, err := d.decode(root)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	return raw, nil
}

// rewrite applies the operations to the parsed document and writes all of it.
func (d Document) rewrite(operations []apirule.Operation) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(d.Text, &document); err != nil {
		return nil, d.syntaxError(err)
	}
	for _, operation := range operations {
		if err := applyTo(document.Content[0], operation); err != nil {
			return nil, err
		}
	}
	var text strings.Builder
	if isMarker(d.Text, "---") {
		text.WriteString("---\n")
	}
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(&document); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return []byte(text.String()), nil
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
