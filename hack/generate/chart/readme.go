// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// tables returns one table of the top-level values, and one for each group.
func tables(values []value) string {
	var out strings.Builder
	var flat []value
	for _, each := range values {
		if !each.fixed() {
			flat = append(flat, each)
		}
	}
	table(&out, flat)
	for _, each := range values {
		if !each.fixed() {
			continue
		}
		fmt.Fprintf(&out, "\n### `%s`\n\n", each.path)
		if each.comment != "" {
			fmt.Fprintf(&out, "%s\n\n", each.comment)
		}
		table(&out, leaves(each.children))
	}
	return out.String()
}

func leaves(values []value) []value {
	var all []value
	for _, each := range values {
		if each.fixed() {
			all = append(all, leaves(each.children)...)
			continue
		}
		all = append(all, each)
	}
	return all
}

func table(out *strings.Builder, values []value) {
	out.WriteString("| value | default | |\n|---|---|---|\n")
	for _, each := range values {
		fmt.Fprintf(out, "| `%s` | `%s` | %s |\n", each.path, standard(each.node), strings.ReplaceAll(each.comment, "|", `\|`))
	}
}

// standard is a default as JSON, on one line.
func standard(node *yaml.Node) string {
	var plain any
	if err := node.Decode(&plain); err != nil {
		return "?"
	}
	raw, err := json.Marshal(plain)
	if err != nil {
		return "?"
	}
	return strings.ReplaceAll(string(raw), "|", `\|`)
}
