// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chart writes values.schema.json and the table of values in README.md of
// the chart, from the comments and the defaults in values.yaml.
//
// Each value needs a comment above it. Its type follows from its default; a line
// "@schema {…}" in the comment adds to, or replaces, what follows.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func write() error {
	root, err := checkout.Root()
	if err != nil {
		return err
	}
	directory := filepath.Join(root, "charts", "extauth-guard")
	raw, err := os.ReadFile(filepath.Join(directory, "values.yaml"))
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return fmt.Errorf("reading values.yaml: %w", err)
	}
	values, err := read("", document.Content[0])
	if err != nil {
		return fmt.Errorf("reading values.yaml: %w", err)
	}
	schema, err := schemaOf(values)
	if err != nil {
		return err
	}
	template, err := os.ReadFile(filepath.Join(directory, "README.md.tmpl"))
	if err != nil {
		return err
	}
	const here = "{{ values }}\n"
	if !bytes.Contains(template, []byte(here)) {
		return errors.New("README.md.tmpl has no line {{ values }}")
	}
	readme := bytes.Replace(template, []byte(here), []byte(tables(values)), 1)
	for name, content := range map[string][]byte{"values.schema.json": schema, "README.md": readme} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// value is one key of values.yaml.
type value struct {
	path, comment string
	// node is the default.
	node *yaml.Node
	// schema is what "@schema" lines say.
	schema map[string]any
	// children are the keys of a map that is not empty.
	children []value
}

func (v value) key() string {
	for i := len(v.path) - 1; i >= 0; i-- {
		if v.path[i] == '.' {
			return v.path[i+1:]
		}
	}
	return v.path
}

// fixed says whether the map has exactly its keys, and is not one of the user's.
func (v value) fixed() bool {
	return v.node.Kind == yaml.MappingNode && len(v.children) > 0 && len(v.schema) == 0
}

func read(path string, mapping *yaml.Node) ([]value, error) {
	var all []value
	var errs []error
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		one := value{path: key.Value, node: node}
		if path != "" {
			one.path = path + "." + key.Value
		}
		var err error
		if one.comment, one.schema, err = comment(key.HeadComment); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s: %w", key.Line, one.path, err))
		}
		if node.Kind == yaml.MappingNode {
			if one.children, err = read(one.path, node); err != nil && len(one.schema) == 0 {
				errs = append(errs, err)
			}
		}
		if one.comment == "" && !one.fixed() {
			errs = append(errs, fmt.Errorf("line %d: %s has no comment: say what it is, why it has this default, and what the other choice costs", key.Line, one.path))
		}
		all = append(all, one)
	}
	return all, errors.Join(errs...)
}

// schemaOf returns the JSON schema of the chart's values.
func schemaOf(values []value) ([]byte, error) {
	all := object(values)
	all["$schema"] = "https://json-schema.org/draft-07/schema#"
	all["title"] = "Values of the chart extauth-guard"
	all["definitions"] = definitions()
	// Helm gives it to every sub-chart.
	properties, ok := all["properties"].(map[string]any)
	if !ok {
		return nil, errors.New("the schema has no properties")
	}
	properties["global"] = map[string]any{"type": "object"}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return out.Bytes(), nil
}
