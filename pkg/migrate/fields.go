// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"maps"
	"slices"
)

func object(from map[string]any, key string) map[string]any {
	value, _ := from[key].(map[string]any)
	return value
}

func list(from map[string]any, key string) []any {
	value, _ := from[key].([]any)
	return value
}

func text(from map[string]any, key string) string {
	value, _ := from[key].(string)
	return value
}

// texts returns the texts of a list, or a text that stands in place of a list of
// one.
func texts(from map[string]any, key string) []string {
	if single := text(from, key); single != "" {
		return []string{single}
	}
	var values []string
	for _, entry := range list(from, key) {
		if value, ok := entry.(string); ok {
			values = append(values, value)
		}
	}
	return values
}

func sortedKeys(of map[string]any) []string {
	return slices.Sorted(maps.Keys(of))
}

func anys[T any](of []T) []any {
	values := make([]any, 0, len(of))
	for _, value := range of {
		values = append(values, value)
	}
	return values
}
