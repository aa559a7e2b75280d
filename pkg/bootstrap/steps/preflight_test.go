// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

func TestMissingAPIsAreNamedWithWhatBringsThem(t *testing.T) {
	cfg := config.DefaultBootstrap()
	cfg.Flow = config.FlowAuthorizationCode
	gaps, _, err := (&preflight{Environment: Environment{Config: cfg, Client: fake.NewClientBuilder().Build()}}).apis(t.Context())
	require.NoError(t, err)
	want := []string{
		"the cluster does not serve operator.kyma-project.io/v1alpha2 Istio; install Kyma's Istio module",
		"the cluster does not serve gateway.kyma-project.io/v2 APIRule; install Kyma's API Gateway module",
		"the cluster does not serve networking.istio.io/v1beta1 Gateway; install Istio",
		"the cluster does not serve security.istio.io/v1beta1 AuthorizationPolicy; install Istio",
	}
	assert.Empty(t, cmp.Diff(want, gaps), "(-want +got)")
}

func TestPermissionsAreNamedOnce(t *testing.T) {
	for _, flow := range []config.Flow{config.FlowClientCredentials, config.FlowAuthorizationCode} {
		cfg := config.DefaultBootstrap()
		cfg.Flow = flow
		for name, permissions := range map[string][]Permission{"run": Permissions(cfg), "uninstall": UninstallPermissions(cfg)} {
			seen := map[string]bool{}
			for _, permission := range permissions {
				assert.False(t, seen[permission.String()], "%s: %s twice", name, permission)
				seen[permission.String()] = true
			}
		}
	}
}
