// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/checkout"
)

// The server may do in a cluster what it may do in the integration tests, which
// fail for what is missing; its own certificate and webhook configurations come on
// top where it makes them itself.
func TestThePermissionsOfTheServerAreThoseItIsTestedWith(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "test/testdata/rbac/webhook.yaml"))
	require.NoError(t, err)
	tested := map[string]bool{}
	for document := range strings.SplitSeq(string(raw), "\n---\n") {
		var role rbacv1.ClusterRole
		require.NoError(t, yaml.Unmarshal([]byte(document), &role))
		for _, rule := range role.Rules {
			for _, each := range permissions("", rule) {
				tested[each.String()] = true
			}
		}
	}
	assert.Empty(t, cmp.Diff(tested, granted(t, documented(t)["cert-manager"], "extauth-guard")), "(-tested +chart)")
}
