// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestHolesOfTheProxyBehindAnAuthorizer(t *testing.T) {
	deployment := func(image string, args ...string) facts.Proxy {
		deployment := &appsv1.Deployment{}
		deployment.Spec.Template.Labels = map[string]string{"app": "proxy", "pod-template-hash": "1"}
		deployment.Spec.Template.Spec.Containers = []corev1.Container{{Image: image, Args: args}, {Image: "sidecar:v1", Args: []string{"--skip-auth-route=/"}}}
		return facts.ProxyOf(deployment)
	}
	old := deployment("quay.io/oauth2-proxy/oauth2-proxy:v7.15.3", "--skip-auth-route=^/public")
	world := facts.NewWorld("")
	world.SetIstio(cr("default", "2026-01-01T00:00:00Z", "corp"))
	view := apiRule(in("shop", "cart"), in("shop", "cart"), "corp")
	world.SetAPIRule(view)
	entry, _ := world.Registry().Authorizer("corp")
	at, _ := entry.Backend()
	world.SetService(at, policy.Service{Selector: policy.SelectorOf(map[string]string{"app": "proxy"})})
	var told []facts.Change
	world.Subscribe(func(change facts.Change) { told = append(told, change) })
	holes := func() []string { return world.Facts(t.Context(), view).Backends["corp"].Holes }

	world.SetProxy(in(at.Namespace, "proxy"), old)
	assert.Len(t, holes(), 1)
	assert.Contains(t, holes()[0], "GHSA-63jm-59jj-478j")
	world.SetProxy(in(at.Namespace, "proxy"), old)
	assert.Len(t, told, 1, "what did not change is told")
	assert.True(t, told[0].All)

	world.SetProxy(in(at.Namespace, "proxy"), deployment("quay.io/oauth2-proxy/oauth2-proxy:v7.15.6", "--skip-auth-route=^/public"))
	assert.Empty(t, holes(), "a version without the hole")
	world.SetProxy(in(at.Namespace, "proxy"), deployment("quay.io/oauth2-proxy/oauth2-proxy:latest", "--skip-auth-route=^/public"))
	assert.Empty(t, holes(), "a version that nobody knows is no hole")
	world.SetProxy(in(at.Namespace, "proxy"), old)
	world.SetProxy(in("elsewhere", "proxy"), old)
	world.DeleteProxy(in(at.Namespace, "proxy"))
	assert.Empty(t, holes(), "that of another namespace")
}
