// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// The integration tests run the server and its controllers under these roles, and
// fail for what is missing. The chart grants the same and nothing else; what the
// certificate needs comes on top, in the mode in which we make it ourselves.
func TestTheServerMayDoExactlyWhatItIsTestedWith(t *testing.T) {
	tested := map[string]bool{}
	for _, file := range []string{"webhook.yaml", "controllers.yaml"} {
		raw, err := os.ReadFile(checkout.Path(t, "test/testdata/rbac/"+file))
		require.NoError(t, err)
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			var role rbacv1.ClusterRole
			require.NoError(t, yaml.Unmarshal([]byte(document), &role))
			for _, rule := range role.Rules {
				for _, each := range permissions(role.Namespace, rule) {
					tested[each.String()] = true
				}
			}
		}
	}
	assert.NotEmpty(t, tested)
	granted := granted(t, documented(t)["cert-manager"], "extauth-guard")
	for each := range tested {
		assert.True(t, granted[each], "the chart lacks the permission: %s", each)
	}
	for each := range granted {
		assert.True(t, tested[each], "the chart grants what no test needs: %s", each)
	}
}
