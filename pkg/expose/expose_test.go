// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package expose_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/expose"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// request is one of the Service shop/web with these annotations and ports.
func request(t *testing.T, annotations map[string]string, ports ...int32) expose.Request {
	t.Helper()
	asked, errs := annotation.ParseExposure(annotations)
	require.Empty(t, errs)
	require.NotNil(t, asked)
	return expose.Request{
		Service: types.NamespacedName{Namespace: "shop", Name: "web"}, UID: "1", Ports: ports, Annotations: annotations, Exposure: *asked,
	}
}

const fallback = "kyma-system/kyma-gateway"

func TestOpen(t *testing.T) {
	open, err := request(t, map[string]string{
		annotation.Expose: "web", annotation.ExposePort: "81", annotation.ExposePath: "/api/{**}", annotation.ExposeMethods: "GET,POST", annotation.ExposeGateway: "a/b",
	}, 80, 81).Open(fallback)
	require.NoError(t, err)
	assert.Empty(t, cmp.Diff(map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{
			"namespace": "shop", "name": "web", "labels": map[string]any{"app.kubernetes.io/managed-by": "extauth-guard"},
			"annotations":     map[string]any{"extauth-guard.io/inject": "true"},
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "1", "controller": true}},
		},
		"spec": map[string]any{
			"hosts": []any{"web"}, "gateway": "a/b", "service": map[string]any{"name": "web", "port": int64(81)},
			"rules": []any{map[string]any{"path": "/api/{**}", "methods": []any{"GET", "POST"}}},
		},
	}, open), "(-want +got)")

	open, err = request(t, map[string]string{annotation.Expose: "web"}, 80).Open(fallback)
	require.NoError(t, err)
	view := apirule.Parse(open, "")
	assert.Equal(t, fallback, view.Gateway)
	assert.Equal(t, int64(80), view.Rules[0].ServicePort, "the only port needs no choice")
}

func TestOpenRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		annotations map[string]string
		ports       []int32
		want        string
	}{
		"no port":                   {nil, nil, "no port that could be exposed"},
		"two ports and no choice":   {nil, []int32{80, 81}, "the ports 80, 81: choose one"},
		"a port that is not there":  {map[string]string{annotation.ExposePort: "82"}, []int32{80}, "no port 82, only 80"},
		"exposed, but not injected": {map[string]string{annotation.Inject: "false"}, []int32{80}, "always protected; remove one of the two"},
	} {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{annotation.Expose: "web"}
			maps.Copy(annotations, tc.annotations)
			_, err := request(t, annotations, tc.ports...).Open(fallback)
			var refusal expose.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Contains(t, string(refusal), tc.want)
		})
	}
}

func TestProtect(t *testing.T) {
	open, err := request(t, map[string]string{annotation.Expose: "web"}, 80).Open(fallback)
	require.NoError(t, err)
	settings := policy.DefaultSettings()
	facts := policy.Facts{Registry: policy.StaticRegistry("a test", []string{"oauth2-proxy"})}
	protected, authorizers, err := expose.Protect(open, facts, settings)
	require.NoError(t, err)
	assert.Equal(t, []string{"oauth2-proxy"}, authorizers)
	assert.True(t, apirule.Parse(protected, "").Rules[0].Protected())
	assert.False(t, apirule.Parse(open, "").Rules[0].Protected(), "what was given is not changed")

	for name, tc := range map[string]struct {
		facts    policy.Facts
		settings policy.Settings
		want     string
	}{
		"an authorizer that nobody registered": {policy.Facts{Registry: policy.StaticRegistry("a test", []string{"corp"})}, settings, "not registered in a test"},
		"a namespace that is left alone":       {facts, policy.Settings{DefaultAuthorizers: []string{"oauth2-proxy"}, ExcludedNamespaces: map[string]bool{"shop": true}}, "leaves the namespace shop alone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := expose.Protect(open, tc.facts, tc.settings)
			var refusal expose.Refusal
			require.ErrorAs(t, err, &refusal)
			assert.Contains(t, string(refusal), tc.want)
		})
	}
}
