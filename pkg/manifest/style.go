// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// style is how the author of a document indents.
type style struct {
	// step is by how much a mapping in a mapping is indented.
	step int
	// dash is by how much the dash of a list is indented below its key.
	dash int
	// json is true where keys are in double quotes.
	json bool
}

// verbatim is a text that follows the colon of a key as it is.
type verbatim string

// styleOf takes the style of an object from the first places that show it.
func styleOf(object *yaml.Node) style {
	found := style{step: -1, dash: -1}
	found.json = len(object.Content) > 0 && object.Content[0].Style&yaml.DoubleQuotedStyle != 0
	found.walk(object)
	if found.step <= 0 {
		found.step = 2
	}
	found.dash = max(found.dash, 0)
	return found
}

func (s *style) walk(node *yaml.Node) {
	if s.step >= 0 && s.dash >= 0 {
		return
	}
	if node.Kind == yaml.MappingNode && !isFlow(node) {
		for i := 0; i+1 < len(node.Content); i += 2 {
			s.learn(node.Content[i], node.Content[i+1])
		}
	}
	for _, inner := range node.Content {
		s.walk(inner)
	}
}

// learn looks at the value of a key, if it stands in lines of its own.
func (s *style) learn(key, value *yaml.Node) {
	if isFlow(value) || len(value.Content) == 0 || value.Line == key.Line {
		return
	}
	if value.Kind == yaml.MappingNode && s.step < 0 {
		s.step = value.Content[0].Column - key.Column
	}
	if value.Kind == yaml.SequenceNode && s.dash < 0 {
		s.dash = value.Column - key.Column
	}
}

// entry renders a key and its value, for a mapping that is indented by indent.
// The first line is not indented, the last one is ended.
func (s style) entry(indent int, key string, value any) string {
	return scalar(key) + ":" + s.value(indent, value)
}

func (s style) value(indent int, value any) string {
	switch of := value.(type) {
	case verbatim:
		return string(of)
	case []string:
		var text strings.Builder
		text.WriteString("\n")
		for _, one := range of {
			text.WriteString(strings.Repeat(" ", indent+s.dash) + "- " + scalar(one) + "\n")
		}
		return text.String()
	case map[string]string:
		entries := make(map[string]any, len(of))
		for key, one := range of {
			entries[key] = one
		}
		return s.value(indent, entries)
	case map[string]any:
		keys := make([]string, 0, len(of))
		for key := range of {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		var text strings.Builder
		text.WriteString("\n")
		for _, key := range keys {
			text.WriteString(strings.Repeat(" ", indent+s.step) + s.entry(indent+s.step, key, of[key]))
		}
		return text.String()
	}
	return " " + scalar(fmt.Sprint(value)) + "\n"
}

// plain matches what every reader of YAML takes for a text without quotes, apart
// from a few words.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([-./][A-Za-z0-9]+)*$`)

// scalar renders a text.
func scalar(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return quoted(text)
	}
	_, isBool := oldBool(text)
	switch strings.ToLower(text) {
	case "true", "false", "null":
		isBool = true
	}
	if plain.MatchString(text) && !isBool {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// quoted renders a text as JSON, which is YAML too.
func quoted(text string) string {
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text can be encoded, and a buffer written
	return strings.TrimSuffix(raw.String(), "\n")
}
