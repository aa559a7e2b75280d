// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/checkout"
)

// Whoever answers admission requests may read in a cluster what it may read in the
// integration tests, which fail for what is missing. What the controllers and the
// certificate need comes on top.
func TestTheServerMayReadWhatItIsTestedWith(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "test/testdata/rbac/webhook.yaml"))
	require.NoError(t, err)
	granted := granted(t, documented(t)["cert-manager"], "extauth-guard")
	tested := 0
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		var role rbacv1.ClusterRole
		require.NoError(t, yaml.Unmarshal([]byte(document), &role))
		for _, rule := range role.Rules {
			for _, each := range permissions("", rule) {
				assert.True(t, granted[each.String()], "the chart lacks the permission: %s", each)
				tested++
			}
		}
	}
	assert.Positive(t, tested)
}
