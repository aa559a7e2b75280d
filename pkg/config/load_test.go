// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

type sample struct {
	metav1.TypeMeta `json:",inline"`
	Name            string `json:"name"`
	Size            int    `json:"size"`
}

const head = "apiVersion: config.extauth-guard.io/v1alpha1\nkind: Sample\n"

func TestLoadKeepsDefaultsWhereTheFileIsSilent(t *testing.T) {
	got := sample{Name: "default", Size: 3}
	require.NoError(t, config.Load([]byte("---\n# a comment\n"+head+"size: 5\n"), "Sample", &got))
	assert.Equal(t, "default", got.Name)
	assert.Equal(t, 5, got.Size)
}

func TestLoadRefuses(t *testing.T) {
	cases := map[string]struct {
		raw, want string
	}{
		"nothing":             {"", "the configuration is empty"},
		"an unknown field":    {head + "nme: x\n", `unknown field "nme"`},
		"other capitals":      {head + "Name: x\n", `unknown field "Name"`},
		"a duplicate key":     {head + "name: x\nname: y\n", `key "name" already set`},
		"another kind":        {"apiVersion: config.extauth-guard.io/v1alpha1\nkind: Other\n", "expected apiVersion: config.extauth-guard.io/v1alpha1, kind: Sample"},
		"another version":     {"apiVersion: v1\nkind: Sample\n", `this is apiVersion "v1"`},
		"a second document":   {head + "---\n" + head, "more than one YAML document"},
		"a wrong type":        {head + "size: big\n", "cannot unmarshal string"},
		"something not a map": {"- a\n", "parsing the Sample"},
		"something not YAML":  {"a: [\n", "parsing the Sample"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got sample
			require.ErrorContains(t, config.Load([]byte(tc.raw), "Sample", &got), tc.want)
		})
	}
}
