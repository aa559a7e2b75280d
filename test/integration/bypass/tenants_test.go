// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bypass_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// TestBypassByTenant has the ideas of somebody who may write in a namespace of his
// own, about the workloads of another one and about what everybody shares.
func TestBypassByTenant(t *testing.T) {
	s := start(t)
	// exposing is an APIRule of the namespace of s in front of the Service web of
	// another one.
	exposing := func(s scene, name, owner, rules string) string {
		return fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[2]s, namespace: %[1]s, annotations: {extauth-guard.io/inject: "false"}},
			spec: {hosts: [%[2]s], gateway: kyma-system/kyma-gateway, service: {name: web, namespace: %[3]s, port: 80}, rules: [%[4]s]}}`, s.namespace, name, owner, rules)
	}

	t.Run("the Service of another team under its policy", func(t *testing.T) {
		tenant := s.idea(t, "tenant-a")
		owner := s.idea(t, "tenant-b")
		owner.enforce()
		tenant.refused(tenant.create(exposing(tenant, "stolen", "tenant-b", open)), "PolicyViolation")
		require.NoError(t, tenant.create(strings.Replace(exposing(tenant, "shared", "tenant-b", authed), `"false"`, `"true"`, 1)))
		owner.counts(1, 0, 0)
	})

	t.Run("the Service of a team that asks for protection", func(t *testing.T) {
		tenant := s.idea(t, "tenant-c")
		owner := s.idea(t, "tenant-d")
		owner.Apply(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: tenant-d, annotations: {extauth-guard.io/inject: "true"}}, spec: {selector: {app: web}, ports: [{port: 80}]}}`)
		tenant.Eventually("the annotation is known", func(ctx context.Context) (string, bool) {
			object := kyma.Object(t, exposing(tenant, "stolen", "tenant-d", open))
			_, err := tenant.APIRules("tenant-c").Create(ctx, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return fmt.Sprint(err), apierrors.IsInvalid(err)
		})
		tenant.refused(tenant.create(exposing(tenant, "stolen", "tenant-d", open)), "ForeignServiceOpen")
		require.NoError(t, tenant.create(exposing(tenant, "asked", "tenant-d", asking)), "the same without noAuth is injected")
		assert.Contains(t, tenant.firstRule("asked"), "extAuth")
	})

	t.Run("a list of nothing but commas", func(t *testing.T) {
		s := s.idea(t, "commas")
		bomb := strings.Repeat(",", 20_000)
		s.refused(s.create(s.annotated("web", fmt.Sprintf("extauth-guard.io/authorizers: %q", bomb), asking)), "InvalidAnnotation")
		s.refused(s.create(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: bomb, namespace: commas, annotations: {extauth-guard.io/authorizers: %q}}, spec: {ports: [{port: 80}]}}`, bomb)), "InvalidAnnotation")
		require.NoError(t, s.create(s.apirule("next", authed)), "others are answered")
	})

	t.Run("kubectl delete istios --all", func(t *testing.T) {
		s := s.idea(t, "all-istios")
		require.NoError(t, s.create(s.apirule("web", authed)))
		istio := kyma.Object(t, `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}}`)
		s.Eventually("the use is known", func(ctx context.Context) (string, bool) {
			err := s.At(istio).Delete(ctx, "default", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
			return fmt.Sprint(err), apierrors.IsInvalid(err)
		})
		s.refused(s.At(istio).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}), "AuthorizerInUse")
		_, err := s.At(istio).Get(t.Context(), "default", metav1.GetOptions{})
		require.NoError(t, err, "it is still there")
	})
}
