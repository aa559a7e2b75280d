// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestGatewayDomain(t *testing.T) {
	cases := map[string]struct{ spec, want string }{
		"the default gateway of Kyma":         {`{servers: [{port: {number: 443}, hosts: ["*.example.com"]}, {port: {number: 80}, hosts: ["*.example.com"]}]}`, "example.com"},
		"two domains make none":               {`{servers: [{hosts: ["*.example.com"]}, {hosts: ["*.example.org"]}]}`, ""},
		"two hosts of a server make none":     {`{servers: [{hosts: ["*.example.com", "*.example.com"]}]}`, ""},
		"a host without wildcard makes none":  {`{servers: [{hosts: ["shop.example.com"]}]}`, ""},
		"no server":                           {`{}`, ""},
		"servers of the wrong type make none": {`{servers: [x]}`, ""},
		"any host is not a domain":            {`{servers: [{hosts: ["*"]}]}`, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, istio.GatewayDomain(object(t, "{spec: "+tc.spec+"}")))
		})
	}
}

func TestParseVirtualService(t *testing.T) {
	got := istio.ParseVirtualService(object(t, `{metadata: {namespace: shop}, spec: {hosts: [a.example.com, b], gateways: [mesh, own, kyma-system/kyma-gateway]}}`))
	want := istio.VirtualService{Hosts: []string{"a.example.com", "b"}, Gateways: []string{"shop/own", "kyma-system/kyma-gateway"}}
	assert.Empty(t, cmp.Diff(want, got), "(-want +got)")
	assert.Empty(t, cmp.Diff(istio.VirtualService{}, istio.ParseVirtualService(nil)))
}
