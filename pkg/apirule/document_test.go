// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package apirule_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// toJSON returns YAML as the JSON that a request would carry.
func toJSON(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	return raw
}

// decode decodes as the API machinery does: integers are int64.
func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var object map[string]any
	require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts(raw, &object))
	return object
}

// exact decodes without losing a digit of any number, for comparing documents.
func exact(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	require.NoError(t, decoder.Decode(&object))
	return object
}
