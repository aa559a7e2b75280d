// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

func TestParseExposure(t *testing.T) {
	cases := map[string]struct {
		annotations map[string]string
		want        *annotation.Exposure
		wantErr     string
	}{
		"nothing is asked": {nil, nil, ""},
		"a short host and the defaults": {
			map[string]string{"extauth-guard.io/expose": "httpbin"},
			&annotation.Exposure{Host: "httpbin", Path: "/*", Methods: annotation.Methods()}, "",
		},
		"everything is said": {
			map[string]string{
				"extauth-guard.io/expose": "*.shop.example.com", "extauth-guard.io/expose-port": "8080", "extauth-guard.io/expose-path": "/api/{**}",
				"extauth-guard.io/expose-methods": "POST, GET", "extauth-guard.io/expose-gateway": "a/b",
			},
			&annotation.Exposure{Host: "*.shop.example.com", Port: 8080, Path: "/api/{**}", Methods: []string{"POST", "GET"}, Gateway: "a/b"}, "",
		},
		"an empty host":               {map[string]string{"extauth-guard.io/expose": ""}, nil, `metadata.annotations[extauth-guard.io/expose]: Invalid value: "": must be a host, for example "shop" under the domain of the gateway, or "shop.example.com"`},
		"a URL is no host":            {map[string]string{"extauth-guard.io/expose": "https://shop"}, nil, `metadata.annotations[extauth-guard.io/expose]: Invalid value: "https://shop": must be a host, for example "shop" under the domain of the gateway, or "shop.example.com"`},
		"a port that is a name":       {map[string]string{"extauth-guard.io/expose": "a", "extauth-guard.io/expose-port": "http"}, nil, `metadata.annotations[extauth-guard.io/expose-port]: Invalid value: "http": must be the number of a port, between 1 and 65535`},
		"a path with a bare wildcard": {map[string]string{"extauth-guard.io/expose": "a", "extauth-guard.io/expose-path": "/api/*"}, nil, `metadata.annotations[extauth-guard.io/expose-path]: Invalid value: "/api/*": must be the path of an APIRule, for example "/*" or "/api/{**}"`},
		"a method in small letters":   {map[string]string{"extauth-guard.io/expose": "a", "extauth-guard.io/expose-methods": "get"}, nil, `metadata.annotations[extauth-guard.io/expose-methods]: Invalid value: "get": must be HTTP methods in capitals, each once, for example "GET,POST"`},
		"a gateway without namespace": {map[string]string{"extauth-guard.io/expose": "a", "extauth-guard.io/expose-gateway": "b"}, nil, `metadata.annotations[extauth-guard.io/expose-gateway]: Invalid value: "b": must be namespace/name, for example kyma-system/kyma-gateway`},
		"a companion on its own":      {map[string]string{"extauth-guard.io/expose-port": "80"}, nil, `metadata.annotations[extauth-guard.io/expose-port]: Invalid value: "80": means nothing without extauth-guard.io/expose`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, errs := annotation.ParseExposure(tc.annotations)
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
			if tc.wantErr == "" {
				assert.Empty(t, errs)
				return
			}
			assert.EqualError(t, errs.ToAggregate(), tc.wantErr)
		})
	}
}
