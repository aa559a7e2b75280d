// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"fmt"
	"strings"
)

// text returns a value of an annotation as a text, and false if it is none. What
// an author forgot to quote under a key of this project becomes a text that no key
// takes, "!!bool true" as YAML writes it: the API server refuses the object, so it
// must not read as "not asked for".
func text(key string, value any) (string, bool) {
	if is, ok := value.(string); ok {
		return is, true
	}
	if !Ours(key) {
		return "", false
	}
	kind := "null"
	switch value.(type) {
	case bool:
		kind = "bool"
	case int64:
		kind = "int"
	case float64:
		kind = "float"
	case []any:
		return "!!seq", true
	case map[string]any:
		return "!!map", true
	}
	return fmt.Sprintf("!!%s %v", kind, value), true
}

// Text returns the value of an annotation of this project in a decoded object; see
// [Of].
func Text(key string, value any) (string, bool) {
	if !Ours(key) {
		return "", false
	}
	return text(key, value)
}

// unquoted says what is wrong with a value that was no text; "" for a text.
func unquoted(value string) string {
	if !strings.HasPrefix(value, "!!") {
		return ""
	}
	tag, plain, _ := strings.Cut(value, " ")
	switch tag {
	case "!!bool", "!!int", "!!float":
		return fmt.Sprintf("the API server takes texts only; quote it: %q", plain)
	}
	return "the API server takes texts only; write one in quotes"
}
