// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
)

// comment splits a comment into its text and what its "@schema" lines say. A blank
// comment line ends a text that is not about the key below it.
func comment(raw string) (string, map[string]any, error) {
	if at := strings.LastIndex(raw, "\n\n"); at >= 0 {
		raw = raw[at+2:]
	}
	schema := map[string]any{}
	var words []string
	for line := range strings.Lines(raw) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		fragment, ok := strings.CutPrefix(line, "@schema ")
		if !ok {
			words = append(words, line)
			continue
		}
		if err := json.Unmarshal([]byte(fragment), &schema); err != nil {
			return "", nil, fmt.Errorf("reading @schema: %w", err)
		}
	}
	return strings.TrimSpace(strings.Join(words, " ")), schema, nil
}

// object is the schema of a map that has exactly these keys.
func object(values []value) map[string]any {
	properties := map[string]any{}
	for _, each := range values {
		properties[each.key()] = each.property()
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

// property is the schema of one value.
func (v value) property() map[string]any {
	if v.fixed() {
		nested := object(v.children)
		if v.comment != "" {
			nested["description"] = v.comment
		}
		return nested
	}
	one := map[string]any{"description": v.comment}
	if _, ok := v.schema["$ref"]; !ok {
		one["type"] = typeOf(v.node)
	}
	maps.Copy(one, v.schema)
	return one
}

func typeOf(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "object"
	case node.Kind == yaml.SequenceNode:
		return "array"
	case node.Tag == "!!bool":
		return "boolean"
	case node.Tag == "!!int":
		return "integer"
	default:
		return "string"
	}
}

// definitions are the shapes of Kubernetes that several values have.
func definitions() map[string]any {
	quantities := map[string]any{
		"type": "object", "additionalProperties": map[string]any{"type": []string{"string", "integer", "number"}},
	}
	names := map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	return map[string]any{
		"duration": map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`},
		"resources": map[string]any{
			"type": "object", "additionalProperties": false,
			"properties": map[string]any{
				"requests": quantities, "limits": quantities,
				"claims": map[string]any{"type": "array", "items": map[string]any{"type": "object"}},
			},
		},
		"labelSelector": map[string]any{
			"type": "object", "additionalProperties": false,
			"properties": map[string]any{
				"matchLabels": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
				"matchExpressions": map[string]any{"type": "array", "items": map[string]any{
					"type": "object", "additionalProperties": false, "required": []string{"key", "operator"},
					"properties": map[string]any{
						"key":      map[string]any{"type": "string"},
						"operator": map[string]any{"enum": []string{"In", "NotIn", "Exists", "DoesNotExist"}},
						"values":   names,
					},
				}},
			},
		},
	}
}
