// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// kind itself reads this strictly, but only where there is a container engine.
func TestTheClusterOfTheEndToEndSuiteIsOneForKind(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(root, "hack", "cluster", "e2e", "kind.yaml"))
	require.NoError(t, err)
	var cluster v1alpha4.Cluster
	require.NoError(t, yaml.UnmarshalStrict(raw, &cluster))
	assert.Equal(t, v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"}, cluster.TypeMeta)
	v1alpha4.SetDefaultsCluster(&cluster)
	require.Len(t, cluster.Nodes, 2)
	for _, node := range cluster.Nodes {
		assert.Regexp(t, `^kindest/node:v1\.37\.\d+@sha256:[0-9a-f]{64}$`, node.Image, "kind's own default, which is pinned")
	}
}
