// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestUnnamed(t *testing.T) {
	view := apirule.View{Namespace: "shop", Name: "web", Rules: []apirule.Rule{{Path: "/*", Strategy: apirule.ExtAuth, Authorizers: []string{"corp"}, Service: nsName("shop", "web")}}}
	conflict := func(with string) policy.Finding {
		facts := policy.Facts{
			Registry:   policy.NewRegistry(istio.View{Authorizers: []istio.Authorizer{good(0, "corp"), good(1, "other")}}),
			Neighbours: map[types.NamespacedName][]policy.Neighbour{nsName("shop", "web"): {{Object: with, Authorizer: "other"}}},
		}
		for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
			if finding.Code == policy.AuthorizerConflict {
				return finding
			}
		}
		require.Fail(t, "there is no conflict")
		return policy.Finding{}
	}
	own := conflict("APIRule shop/cart")
	assert.Empty(t, own.Foreign)
	assert.Equal(t, own, own.Unnamed())

	for object, want := range map[string]string{
		"APIRule tenant/secret":             "an APIRule of another namespace",
		"AuthorizationPolicy tenant/secret": "an AuthorizationPolicy of another namespace",
	} {
		finding := conflict(object)
		assert.Equal(t, []string{object}, finding.Foreign)
		assert.Contains(t, finding.Err.Error(), object, "operators read the name")
		assert.Contains(t, finding.Warning(), object)
		unnamed := finding.Unnamed()
		assert.NotContains(t, unnamed.Err.Error()+unnamed.Warning(), "secret")
		assert.Contains(t, unnamed.Err.Error(), "from "+want+":")
		assert.Contains(t, unnamed.Warning(), want)
		assert.Contains(t, finding.Err.Error(), object, "the finding itself is not changed")
	}
	assert.Equal(t, "a VirtualService of another namespace", policy.Unnamed("VirtualService a/b"))
}
