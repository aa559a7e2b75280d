// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// testLag is about objects that are created together: the watches of the webhook
// server cannot know the first when it is asked about the second.
func (s *stage) testLag(t *testing.T) {
	const times = 50

	t.Run("a Service and its APIRule", func(t *testing.T) {
		namespace := s.namespace(t)
		for i := range times {
			name := fmt.Sprintf("web-%d", i)
			manifest := strings.Replace(apiRule("v2", namespace, name, "", open), "name: web,", "name: "+name+",", 1)
			s.create(t, services(), namespace, service(name, name, inject))
			created := s.create(t, apiRuleResource(), namespace, manifest)
			require.Equal(t, [][]string{{"oauth2-proxy"}}, authorizersOf(t, created), "number %d", i)
		}
	})

	t.Run("a Service and its APIRule in one file", func(t *testing.T) {
		namespace := s.namespace(t)
		out := s.mustKubectl(t, strings.Replace(service("shop", "shop", inject), "metadata: {", "metadata: {namespace: "+namespace+", ", 1)+
			"---\n"+strings.Replace(apiRule("v2", namespace, "shop", "", open), "name: web,", "name: shop,", 1), "apply", "-f", "-")
		assert.Contains(t, out, "apirule.gateway.kyma-project.io/shop created")
	})

	t.Run("a Namespace, its Service and its APIRule", func(t *testing.T) {
		for i := range times {
			namespace := s.namespace(t, inject) // makes both, and waits for neither
			created := s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "web", "", open))
			require.Equal(t, [][]string{{"oauth2-proxy"}}, authorizersOf(t, created), "number %d", i)
		}
	})

	t.Run("an authorizer and an APIRule", func(t *testing.T) {
		namespace := s.namespace(t)
		t.Cleanup(func() { s.resetIstio(t) })
		for i := range times {
			name := fmt.Sprintf("fresh-%d", i)
			s.patchIstio(t, fmt.Sprintf(
				`[{"op":"add","path":"/spec/config/authorizers/-","value":{"name":%q,"service":"corp.auth.svc.cluster.local","port":80,"pathPrefix":"/verify?original="}}]`, name))
			_, err := s.apiRules("v2", namespace).Create(t.Context(),
				object(t, apiRule("v2", namespace, name, "", extAuth(name))), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			require.NoError(t, err, "number %d", i)
		}
	})
}

// testStorm removes the annotation while writers put the open manifest back, as
// a GitOps tool does that knows nothing of the injection. Whoever comes first, no
// APIRule is ever stored open.
func (s *stage) testStorm(t *testing.T) {
	namespace := s.namespace(t)
	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "web", inject, open))
	apirules := s.apiRules("v2", namespace)
	var refused, stored sync.Map
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := range 25 {
				updated, err := apirules.Patch(t.Context(), "web", types.JSONPatchType,
					[]byte(`[{"op":"replace","path":"/spec/rules","value":[{"path":"/*","methods":["GET"]}]}]`), metav1.PatchOptions{})
				switch key := fmt.Sprintf("%d/%d", writer, i); {
				case err == nil:
					stored.Store(key, updated)
					assert.Equal(t, [][]string{{"oauth2-proxy"}}, authorizersOf(t, updated))
				case apierrors.IsConflict(err):
				default:
					refused.Store(key, err)
					assert.ErrorContains(t, err, oneOf)
				}
			}
		})
	}
	require.Eventually(t, func() bool { return length(&stored) >= 10 }, patience, often)
	require.Eventually(t, func() bool {
		_, err := apirules.Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"extauth-guard.io/inject":null}}}`), metav1.PatchOptions{})
		return err == nil
	}, patience, often)
	writers.Wait()
	final, err := apirules.Get(t.Context(), "web", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, [][]string{{"oauth2-proxy"}}, authorizersOf(t, final))
	t.Logf("stored %d times, refused %d times", length(&stored), length(&refused))
}

func length(m *sync.Map) int {
	n := 0
	m.Range(func(any, any) bool { n++; return true })
	return n
}
