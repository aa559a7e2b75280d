// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// What register --apply writes is one entry; every other one stays as it is.
func TestRegister(t *testing.T) {
	s, _ := open(t)
	list := func() []any {
		object, err := s.client.Resource(schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}).
			Namespace("kyma-system").Get(t.Context(), "default", metav1.GetOptions{})
		require.NoError(t, err)
		entries, _, err := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
		require.NoError(t, err)
		return entries
	}
	register := func(args ...string) (int, string, string) {
		return s.run(t, "", append([]string{"register"}, args...)...)
	}
	first := list()

	code, stdout, stderr := register("sso", "--profile", "authelia", "--service", "oauth2-proxy/authelia", "--apply")
	require.Equal(t, 0, code, stderr)
	assert.Equal(t, "the authorizer \"sso\" in the Istio CR kyma-system/default is written\n", stdout)
	assert.Contains(t, stderr, "[IdentityHeaderSpoofable]")
	assert.NotContains(t, stderr, "authorizers[0]", "the other entry is no business of it")
	written := list()
	require.Len(t, written, 2)
	assert.Empty(t, cmp.Diff(first[0], written[0]), "the other entry stays")
	assert.Equal(t, "/api/authz/ext-authz/", written[1].(map[string]any)["pathPrefix"])

	code, stdout, stderr = register("sso", "--profile", "authelia", "--service", "oauth2-proxy/authelia", "--apply")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "is as it should be already")

	// Nobody uses it, so that it is replaced as a whole.
	code, _, stderr = register("sso", "--profile", "authentik", "--service", "oauth2-proxy/ak-outpost-apps", "--apply")
	require.Equal(t, 0, code, stderr)
	headers, _ := list()[1].(map[string]any)["headers"].(map[string]any)
	_, added, _ := unstructured.NestedMap(headers, "inCheck", "add")
	assert.False(t, added, "a header of the profile before is gone")

	// An APIRule uses the other one.
	_, err := s.create(t.Context(), parse(t, protectedCart)[0])
	require.NoError(t, err)
	before := list()
	other := []string{"oauth2-proxy", "--profile", "oauth2-proxy", "--service", "oauth2-proxy/another", "--apply"}
	code, stdout, stderr = register(other...)
	assert.Equal(t, 1, code, stdout)
	assert.Contains(t, stderr, `the authorizer "oauth2-proxy" is registered already with other content, and APIRules use it: shop/cart; choose another name, or give --replace`)
	assert.Empty(t, cmp.Diff(before, list()), "nothing is written")
	code, _, stderr = register(append(other, "--replace")...)
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, stderr, "[AuthorizerWidened]")
	assert.Empty(t, cmp.Diff(before[1], list()[1]), "the other entry stays")
	assert.Equal(t, "another.oauth2-proxy.svc.cluster.local", list()[0].(map[string]any)["service"])
}
