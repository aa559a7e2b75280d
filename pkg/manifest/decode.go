// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// maxAliased bounds how many values the aliases of one document may stand for: a
// few hundred bytes can stand for gigabytes.
const maxAliased = 1 << 20

// decode turns a node into the value that kubectl would send.
func (d Document) decode(node *yaml.Node) (any, error) {
	return (&decoder{document: d}).value(node)
}

type decoder struct {
	document Document
	// following holds the aliases that are being followed, aliased counts the
	// values behind all of them.
	following []*yaml.Node
	aliased   int
}

func (d *decoder) value(node *yaml.Node) (any, error) {
	if len(d.following) > 0 {
		d.aliased++
	}
	if d.aliased > maxAliased {
		return nil, d.errorAt(node, "aliases stand for too many values")
	}
	switch node.Kind {
	case yaml.AliasNode:
		return d.alias(node)
	case yaml.SequenceNode:
		items := make([]any, 0, len(node.Content))
		for _, item := range node.Content {
			value, err := d.value(item)
			if err != nil {
				return nil, err
			}
			items = append(items, value)
		}
		return items, nil
	case yaml.MappingNode:
		return d.mapping(node)
	default:
		return d.scalar(node)
	}
}

func (d *decoder) alias(node *yaml.Node) (any, error) {
	if slices.Contains(d.following, node.Alias) {
		return nil, d.errorAt(node, "an alias stands for what it is in")
	}
	d.following = append(d.following, node.Alias)
	defer func() { d.following = d.following[:len(d.following)-1] }()
	return d.value(node.Alias)
}

func (d *decoder) mapping(node *yaml.Node) (any, error) {
	object := make(map[string]any, len(node.Content)/2)
	var merged []map[string]any
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, entry := node.Content[i], node.Content[i+1]
		value, err := d.value(entry)
		if err != nil {
			return nil, err
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, merging(value)...)
			continue
		}
		name, err := d.key(key)
		if err != nil {
			return nil, err
		}
		if _, repeated := object[name]; repeated {
			return nil, d.errorAt(key, fmt.Sprintf("key %q is there twice", name))
		}
		object[name] = value
	}
	for _, from := range merged {
		for name, value := range from {
			if _, own := object[name]; !own {
				object[name] = value
			}
		}
	}
	return object, nil
}

// merging returns what a merge key brings: a mapping or a list of them, of which
// earlier ones win (https://yaml.org/type/merge.html).
func merging(value any) []map[string]any {
	switch of := value.(type) {
	case map[string]any:
		return []map[string]any{of}
	case []any:
		var all []map[string]any
		for _, one := range of {
			all = append(all, merging(one)...)
		}
		return all
	}
	return nil
}

// key returns a key as JSON has it: scalars of all types become strings.
func (d *decoder) key(node *yaml.Node) (string, error) {
	resolved := resolve(node)
	if resolved.Kind != yaml.ScalarNode {
		return "", d.errorAt(node, "a key is not a text"+templateHint)
	}
	value, err := d.scalar(resolved)
	if err != nil {
		return "", err
	}
	if text, ok := value.(string); ok {
		return text, nil
	}
	return fmt.Sprint(value), nil
}

func (d *decoder) scalar(node *yaml.Node) (any, error) {
	switch node.ShortTag() {
	case "!!str", "!!timestamp":
		if node.Style == 0 {
			if value, isBool := oldBool(node.Value); isBool {
				return value, nil
			}
		}
		return node.Value, nil
	case "!!null":
		return nil, nil
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, d.errorAt(node, fmt.Sprintf("%q is not a %s", node.Value, node.ShortTag()))
	}
	switch number := value.(type) {
	case int:
		return int64(number), nil
	case uint64:
		return float64(number), nil
	case bool, float64, int64, string:
		return number, nil
	}
	return node.Value, nil
}

// oldBool reads the booleans of YAML 1.1 that YAML 1.2 no longer has: kubectl
// does.
func oldBool(text string) (value, isBool bool) {
	switch text {
	case "yes", "Yes", "YES", "on", "On", "ON", "y", "Y":
		return true, true
	case "no", "No", "NO", "off", "Off", "OFF", "n", "N":
		return false, true
	}
	return false, false
}

func (d *decoder) errorAt(node *yaml.Node, problem string) error {
	return &SyntaxError{Line: d.document.Line + node.Line - 1, Column: node.Column, Problem: problem}
}
