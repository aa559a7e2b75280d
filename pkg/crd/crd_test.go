// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/crd"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	var value map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &value))
	return value
}

const (
	kind = "APIRule.gateway.kyma-project.io"
	head = "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a}\n"
	rule = "path: /*, methods: [GET], noAuth: true"
)

func spec(host, rule string) string {
	return head + "spec: {hosts: [" + host + "], gateway: k/g, service: {name: a, port: 80}, rules: [{" + rule + "}]}\n"
}

func TestCheckSaysWhatTheAPIServerSays(t *testing.T) {
	schemas, err := crd.Kyma()
	require.NoError(t, err)
	cases := map[string]struct{ text, field, detail string }{
		"a valid APIRule":                  {spec("a.example.com", rule), "", ""},
		"null is absent":                   {spec("a.example.com", rule+", jwt: null"), "", ""},
		"a status is not looked at":        {spec("a.example.com", rule) + "status: {state: 7}\n", "", ""},
		"an open rule":                     {spec("a.example.com", "path: /*, methods: [GET]"), "spec.rules[0]", "One of the following fields must be set: noAuth, jwt, extAuth"},
		"two strategies":                   {spec("a.example.com", rule+", jwt: {}"), "spec.rules[0]", "One of the following"},
		"a path":                           {spec("a.example.com", "path: /.*, methods: [GET], noAuth: true"), "spec.rules[0].path", "should match"},
		"a host":                           {spec("A", rule), "spec.hosts[0]", "Host must be"},
		"a type":                           {spec("a.example.com", rule+", timeout: soon"), "spec.rules[0].timeout", "must be of type integer"},
		"a method":                         {spec("a.example.com", "path: /*, methods: [get], noAuth: true"), "spec.rules[0].methods[0]", "supported values"},
		"a field that is missing":          {spec("a.example.com", "path: /*, noAuth: true"), "spec.rules[0].methods", "Required"},
		"a field that is unknown":          {spec("a.example.com", rule+", extauth: {}"), "spec.rules[0].extauth", "there is no such field"},
		"no spec":                          {head, "spec", "Required"},
		"a name":                           {"apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: A_b}\nspec: {hosts: [a.example.com], rules: [{" + rule + "}]}\n", "metadata.name", "lowercase RFC 1123"},
		"no name":                          {"apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {}\nspec: {hosts: [a.example.com], rules: [{" + rule + "}]}\n", "metadata.name", "Required"},
		"an annotation that nobody quoted": {"apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a, annotations: {x/y: true}}\nspec: {}\n", "metadata.annotations[x/y]", `quote it: "true"`},
		"a field of the metadata that is unknown": {"apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a, anotations: {}}\nspec: {hosts: [a.example.com], rules: [{" + rule + "}]}\n", "metadata.anotations", "there is no such field"},
		"a field of the metadata of another type": {"apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata: {name: a, finalizers: x}\nspec: {}\n", "metadata", "cannot decode"},
		"rules that are no list":                  {head + "spec: {hosts: [a.example.com], rules: {}}\n", "spec.rules", "must be of type array"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			errs := schemas.Check(t.Context(), kind, "v2", "shop", object(t, tc.text))
			if tc.field == "" {
				assert.Empty(t, errs)
				return
			}
			require.NotEmpty(t, errs)
			assert.Equal(t, tc.field, errs[0].Field)
			assert.Contains(t, errs[0].Error(), tc.detail)
		})
	}
	assert.Empty(t, schemas.Check(t.Context(), "Other.example.com", "v1", "", map[string]any{}), "of another kind nothing is known")
	assert.Equal(t, []string{"v1beta1", "v2", "v2alpha1"}, schemas.Versions(kind))
}

func TestLoadTakesTheClustersOwn(t *testing.T) {
	folder := t.TempDir()
	_, err := crd.Load(folder)
	require.ErrorContains(t, err, "there is no CustomResourceDefinition")
	raw, err := os.ReadFile("kyma/apirules.gateway.kyma-project.io.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a.yaml"), append([]byte("kind: ConfigMap\n---\n"), raw...), 0o600))
	own, err := crd.Load(folder)
	require.NoError(t, err)
	assert.Empty(t, own.Versions("Istio.operator.kyma-project.io"))
	kyma, err := crd.Kyma()
	require.NoError(t, err)
	assert.NotEmpty(t, own.Over(kyma).Versions("Istio.operator.kyma-project.io"))
}
