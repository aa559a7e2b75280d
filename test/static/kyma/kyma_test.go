// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kyma holds what the chart gives to Kyma's dashboard against the engines
// that the dashboard evaluates it with: JSONata for expressions, JSON Schema for
// rules. They are npm packages, so it needs node and, once, an npm registry.
package kyma

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// question is an expression with what the dashboard binds in it.
type question struct {
	Expression    string         `json:"expression"`
	Root          any            `json:"root,omitempty"`
	Item          any            `json:"item,omitempty"`
	EmbedResource any            `json:"embedResource,omitempty"`
	DataSources   map[string]any `json:"dataSources,omitempty"`
}

// judgement asks whether a schema takes an object.
type judgement struct {
	Schema any `json:"schema"`
	Object any `json:"object"`
}

type answers struct {
	Expressions []struct {
		Value any    `json:"value"`
		Error string `json:"error"`
	} `json:"expressions"`
	Schemas []bool `json:"schemas"`
}

// ask has the engines answer.
func ask(t *testing.T, questions []question, judgements []judgement) answers {
	t.Helper()
	out := run(t, "evaluate.js", map[string]any{"expressions": append([]question{}, questions...), "schemas": append([]judgement{}, judgements...)})
	var got answers
	require.NoError(t, json.Unmarshal(out, &got))
	require.Len(t, got.Expressions, len(questions))
	require.Len(t, got.Schemas, len(judgements))
	return got
}

// run has node run a script on a value. The test is skipped, with the reason, where that
// cannot be.
func run(t *testing.T, script string, value any) []byte {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node on this machine, and the dashboard's engines are npm packages")
	}
	input, err := json.Marshal(value)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), node, filepath.Join(install(t), script))
	command.Stdin = bytes.NewReader(input)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	require.NoError(t, command.Run(), "%s", complaints.String())
	return out.Bytes()
}

// install installs the packages of the lock file into a directory of the test.
func install(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("skipped: there is no npm on this machine to install jsonata and ajv with")
	}
	directory := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "evaluate.js", "preview.js"} {
		raw, err := os.ReadFile(checkout.Path(t, "test/static/kyma/node/"+name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), raw, 0o600))
	}
	command := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	command.Dir = directory
	if out, err := command.CombinedOutput(); err != nil {
		t.Skipf("skipped: npm cannot install jsonata and ajv here: %v: %s", err, out)
	}
	return directory
}

// configMaps returns the ConfigMaps that the chart makes for Kyma's tools, by name.
func configMaps(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	rendering, err := chart.Render(chart.Options{Values: map[string]any{"kyma": map[string]any{"dashboard": true, "cli": true}}})
	require.NoError(t, err)
	found := map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq(rendering.Manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		if name, ours := strings.CutPrefix(object.GetName(), "extauth-guard-kyma-"); ours {
			found[name] = object
		}
	}
	return found
}

// section decodes one key of a ConfigMap.
func section(t *testing.T, of *unstructured.Unstructured, key string) any {
	t.Helper()
	text, found, err := unstructured.NestedString(of.Object, "data", key)
	require.NoError(t, err)
	require.True(t, found, key)
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	return value
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value), text)
	return value
}

func TestConfigMapsCarryTheLabelsThatKymaLooksFor(t *testing.T) {
	labels := map[string]map[string]string{
		"policies": {"busola.io/extension": "resource", "busola.io/extension-version": "0.5"},
		"panels":   {"busola.io/extension": "statics", "busola.io/extension-version": "0.5"},
		"rules":    {"busola.io/resource-validation": "rule-set"},
		"commands": {"kyma-cli/extension": "commands", "kyma-cli/extension-version": "v1"},
	}
	found := configMaps(t)
	assert.Len(t, found, len(labels))
	for name, want := range labels {
		require.Contains(t, found, name)
		assert.Subset(t, found[name].GetLabels(), want, name)
	}
	rendering, err := chart.Render(chart.Options{})
	require.NoError(t, err)
	assert.NotContains(t, rendering.Manifests, "busola", "nothing of it unless somebody asks")
	assert.NotContains(t, rendering.Manifests, "kyma-cli")
}

// expressions returns every expression in a section, by its place.
func expressions(at string, value any) map[string]string {
	all := map[string]string{}
	switch typed := value.(type) {
	case map[string]any:
		for key, entry := range typed {
			if text, isText := entry.(string); isText && (key == "source" || key == "visibility" || key == "filter") {
				all[at+"."+key] = text
				continue
			}
			maps.Copy(all, expressions(at+"."+key, entry))
		}
	case []any:
		for _, entry := range typed {
			name := ""
			if object, ok := entry.(map[string]any); ok {
				name, _ = object["name"].(string)
				if targets, ok := object["targets"].([]any); ok {
					target, _ := targets[0].(map[string]any)
					name, _ = target["location"].(string)
				}
			}
			maps.Copy(all, expressions(at+"/"+name, entry))
		}
	}
	return all
}

func TestCommands(t *testing.T) {
	commands := section(t, configMaps(t)["commands"], "kyma-commands.yaml").(map[string]any)
	assert.Equal(t, "extauth", commands["metadata"].(map[string]any)["name"])
	uses := map[string]string{}
	for _, entry := range commands["subCommands"].([]any) {
		command := entry.(map[string]any)
		metadata := command["metadata"].(map[string]any)
		name, _, _ := strings.Cut(metadata["name"].(string), " ")
		uses[name] = command["uses"].(string)
		assert.Regexp(t, `^[A-Z].*\.$`, metadata["descriptionLong"], "as the CLI's own standards want it")
		assert.Regexp(t, `^[A-Z].*[^.]$`, metadata["description"])
	}
	assert.Equal(t, map[string]string{"get": "resource_get", "explain": "resource_explain"}, uses)
}
