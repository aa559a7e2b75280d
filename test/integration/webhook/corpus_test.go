// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// testCorpus writes the manifests of Kyma's documentation: what the CRD accepts
// without us is accepted with us, unless it names an authorizer that is not
// registered. Without us means in a namespace that the webhooks leave alone.
func (s *stage) testCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "corpus"), "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	namespace := s.namespace(t)
	accepted, excused := 0, 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		manifest := object(t, string(raw))
		kind := manifest.GroupVersionKind()
		var resource schema.GroupVersionResource
		switch kind.Kind {
		case "APIRule":
			resource = kind.GroupVersion().WithResource("apirules")
		case "Istio":
			resource = kind.GroupVersion().WithResource("istios")
		default:
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			without := s.tryIn(t, resource, "kyma-system", manifest)
			if without != nil {
				t.Skipf("the CRD refuses it: %v", without)
			}
			with := s.tryIn(t, resource, namespace, manifest)
			if kind.Kind == "APIRule" && slices.ContainsFunc(slices.Concat(authorizersOf(t, manifest)...), func(name string) bool {
				return name != "oauth2-proxy" && name != "corp"
			}) {
				assert.ErrorContains(t, with, "[AuthorizerNotRegistered]")
				excused++
				return
			}
			assert.NoError(t, with)
			accepted++
		})
	}
	t.Logf("%d files, %d accepted, %d with an authorizer that is not registered", len(files), accepted, excused)
	assert.Positive(t, accepted)
}

func (s *stage) tryIn(t *testing.T, resource schema.GroupVersionResource, namespace string, manifest *unstructured.Unstructured) error {
	t.Helper()
	manifest = manifest.DeepCopy()
	manifest.SetNamespace(namespace)
	if manifest.GetName() == "" || resource.Resource == "istios" {
		manifest.SetName("corpus")
	}
	_, err := s.dynamic.Resource(resource).Namespace(namespace).Create(t.Context(), manifest, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}
