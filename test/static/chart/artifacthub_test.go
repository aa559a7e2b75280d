// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
)

// Artifact Hub reads YAML within YAML, and says nothing about what it cannot read.
func TestTheAnnotationsForArtifactHub(t *testing.T) {
	var metadata struct{ Annotations map[string]string }
	require.NoError(t, yaml.Unmarshal([]byte(chartFile(t, "Chart.yaml")), &metadata))
	read := func(key string, into any) {
		t.Helper()
		text, ok := metadata.Annotations["artifacthub.io/"+key]
		require.True(t, ok, key)
		require.NoError(t, yaml.UnmarshalStrict([]byte(text), into), key)
	}
	var changes []struct{ Kind, Description string }
	read("changes", &changes)
	require.NotEmpty(t, changes)
	for _, change := range changes {
		assert.Contains(t, []string{"added", "changed", "deprecated", "removed", "fixed", "security"}, change.Kind)
		assert.NotEmpty(t, change.Description)
	}
	var links []struct{ Name, URL string }
	read("links", &links)
	require.NotEmpty(t, links)
	var crds []struct{ Kind, Version, Name, DisplayName, Description string }
	read("crds", &crds)
	require.Len(t, crds, 2)
	for i, file := range []string{"files/extauthpolicies.yaml", "files/extauthguards.yaml"} {
		var crd apiextensionsv1.CustomResourceDefinition
		require.NoError(t, yaml.Unmarshal([]byte(chartFile(t, file)), &crd))
		assert.Equal(t, crd.Name, crds[i].Name)
		assert.Equal(t, crd.Spec.Names.Kind, crds[i].Kind)
		assert.Equal(t, crd.Spec.Versions[0].Name, crds[i].Version)
	}
	var examples []v1alpha1.ExtAuthPolicy
	read("crdsExamples", &examples)
	require.Len(t, examples, 1)
}
