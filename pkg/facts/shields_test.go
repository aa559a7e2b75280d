// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestShieldsAndHostsOfAnIstioCR(t *testing.T) {
	world := facts.NewWorld("")
	at := in("kyma-system", "default")
	assert.Empty(t, world.IstioFacts(at).Shields)
	first, second := istio.Shield{Header: "a"}, istio.Shield{Header: "b", Hosts: []string{"*.example.com"}}
	world.SetShields(in("istio-system", "z"), []istio.Shield{second})
	world.SetShields(in("istio-system", "a"), []istio.Shield{first})
	assert.Equal(t, []istio.Shield{first, second}, world.IstioFacts(at).Shields)
	world.SetShields(in("istio-system", "a"), nil)
	world.SetShields(in("istio-system", "never"), nil)
	assert.Equal(t, []istio.Shield{second}, world.IstioFacts(at).Shields)

	world.SetGateway(in("kyma-system", "kyma-gateway"), "example.com")
	for name, host := range map[string]string{"short": "cart", "whole": "cart.example.com", "far": "a.other.org"} {
		view := apiRule(in("shop", name), in("shop", "cart"), "corp")
		view.Hosts, view.Gateway = []string{host}, "kyma-system/kyma-gateway"
		world.SetAPIRule(view)
	}
	assert.Equal(t, []string{"a.other.org", "cart.example.com"}, world.IstioFacts(at).Hosts("corp"))
	assert.Empty(t, world.IstioFacts(at).Hosts("other"))
}
