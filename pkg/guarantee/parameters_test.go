// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package guarantee_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/guarantee"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func registry(entries ...istio.Authorizer) policy.Registry {
	return policy.NewRegistry(istio.View{Namespace: "kyma-system", Name: "default", Authorizers: entries})
}

func service(annotations ...string) policy.Service {
	all := map[string]string{}
	for pair := range slices.Chunk(annotations, 2) {
		all["extauth-guard.io/"+pair[0]] = pair[1]
	}
	return policy.Service{Annotations: all}
}

func TestParameters(t *testing.T) {
	warns := policy.DefaultSettings()
	warns.UnknownRegistry = policy.Warn
	for name, tc := range map[string]struct {
		known guarantee.Known
		want  map[string]string
	}{
		"authorizers, what is wrong with them, and the Services behind them": {
			guarantee.Known{Settings: policy.DefaultSettings(), Registry: registry(
				istio.Authorizer{Name: "b", Service: "b.auth.svc.cluster.local", Port: 80}, istio.Authorizer{Name: "a", Service: "a.auth.svc.cluster.local", Index: 1},
				istio.Authorizer{Name: "Not,A,Name", Service: "c.auth.svc.cluster.local", Port: 80},
			)},
			map[string]string{
				"registry": "the Istio CR kyma-system/default", "authorizers": "a,b", "defaultAuthorizers": "oauth2-proxy",
				"invalid.a":       "spec.config.authorizers[1].port: must be a port between 1 and 65535",
				"frontend.auth.a": "0", "frontend.auth.b": "80", "frontend.auth.c": "80",
			},
		},
		"an empty registry is not an unknown one": {
			guarantee.Known{Settings: policy.DefaultSettings(), Registry: registry()},
			map[string]string{"registry": "the Istio CR kyma-system/default", "authorizers": "", "defaultAuthorizers": "oauth2-proxy"},
		},
		"a registry that is not known": {
			guarantee.Known{Settings: warns, Registry: policy.UnknownRegistryBecause("nobody looked")},
			map[string]string{"unknown": "nobody looked", "unknownRegistry": "Warn", "defaultAuthorizers": "oauth2-proxy"},
		},
		"what Services ask for": {
			guarantee.Known{Settings: policy.DefaultSettings(), Registry: policy.UnknownRegistryBecause(""), Services: map[types.NamespacedName]policy.Service{
				{Namespace: "shop", Name: "no"}:    service("inject", "false"),
				{Namespace: "shop", Name: "yes"}:   service("authorizers", "corp", "replace", "noAuth,jwt"),
				{Namespace: "shop", Name: "wrong"}: service("inject", "false", "replace", "all"),
				{Namespace: "shop", Name: "other"}: service("expose", "shop"),
			}},
			map[string]string{"unknown": "", "defaultAuthorizers": "oauth2-proxy", "service.shop.no": "inject=false", "service.shop.yes": "inject=true replace=noAuth,jwt"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, guarantee.Parameters(tc.known)), "(-want +got)")
		})
	}
}

// An object in etcd has at most 1.5 MiB, and half a registry would refuse what is right.
func TestParametersAreBounded(t *testing.T) {
	known := guarantee.Known{Settings: policy.DefaultSettings(), Services: map[types.NamespacedName]policy.Service{}}
	var entries []istio.Authorizer
	for i := range 1001 {
		entries = append(entries, istio.Authorizer{Name: fmt.Sprintf("a-%d", i), Service: "a.b.svc.cluster.local", Port: 80})
	}
	for i := range 5000 {
		known.Services[types.NamespacedName{Namespace: strings.Repeat("n", 63), Name: fmt.Sprintf("%s%d", strings.Repeat("s", 58), i)}] = service("inject", "false", "replace", "noAuth,jwt")
	}
	known.Registry = registry(entries...)
	data := guarantee.Parameters(known)
	assert.NotContains(t, data, guarantee.Registry)
	assert.Contains(t, data[guarantee.Unknown], "1001 authorizers are too many")
	size := 0
	for key, value := range data {
		size += len(key) + len(value)
	}
	assert.Less(t, size, 512<<10)
}
