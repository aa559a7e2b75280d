// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Everybody in the manifests is told of who has a host in the cluster, apart from the
// object that the manifests change.
func TestHostsOfACluster(t *testing.T) {
	apiRule := func(name, host string) string {
		return "{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: " + name + ", namespace: shop}, spec: {hosts: [" + host + "], gateway: kyma-system/kyma-gateway, service: {name: a, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}\n---\n"
	}
	for name, tc := range map[string]struct {
		manifests string
		want      []string
	}{
		"an APIRule has it":                               {apiRule("new", "taken.example.com"), []string{"new: APIRule shop/old"}},
		"a short host is under the domain":                {apiRule("new", "short"), []string{"new: APIRule shop/short"}},
		"a VirtualService has it":                         {apiRule("new", "by-hand.example.com"), []string{"new: VirtualService web/by-hand"}},
		"a VirtualService inside of the mesh":             {apiRule("new", "inside.example.com"), nil},
		"an APIRule that is being deleted":                {apiRule("new", "going.example.com"), nil},
		"the object itself":                               {apiRule("old", "taken.example.com"), nil},
		"the object moves to another host":                {apiRule("old", "other.example.com") + apiRule("new", "taken.example.com"), nil},
		"the object moves to a host that another one has": {apiRule("old", "by-hand.example.com"), []string{"old: VirtualService web/by-hand"}},
		"nobody has it":                                   {apiRule("new", "free.example.com"), nil},
		"two objects of the manifests":                    {apiRule("new", "free.example.com") + apiRule("newer", "free.example.com"), []string{"new: APIRule shop/newer", "newer: APIRule shop/new"}},
	} {
		t.Run(name, func(t *testing.T) {
			world := facts.NewWorld("")
			world.SetGateway(types.NamespacedName{Namespace: "kyma-system", Name: "kyma-gateway"}, "kyma.example.com")
			for _, one := range []struct {
				name, host string
				deleting   bool
			}{{"old", "taken.example.com", false}, {"short", "short.kyma.example.com", false}, {"going", "going.example.com", true}} {
				world.SetAPIRule(apirule.View{Namespace: "shop", Name: one.name, Hosts: []string{one.host}, Gateway: "kyma-system/kyma-gateway", Deleting: one.deleting})
			}
			world.SetVirtualService(types.NamespacedName{Namespace: "web", Name: "by-hand"}, istio.VirtualService{Hosts: []string{"by-hand.example.com"}, Gateways: []string{"web/web"}})
			world.SetVirtualService(types.NamespacedName{Namespace: "web", Name: "inside"}, istio.VirtualService{Hosts: []string{"inside.example.com"}})

			files, err := manifest.Find([]string{manifest.Stdin}, strings.NewReader(tc.manifests))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, files.Close()) })
			linter := lint.Linter{Source: world, Settings: policy.DefaultSettings(), Namespace: "default", Now: now(), Complete: true}
			require.NoError(t, linter.Collect(t.Context(), files.List, world))
			printed := &recorder{}
			_, err = linter.Run(t.Context(), files.List, printed)
			require.NoError(t, err)
			var got []string
			for _, one := range printed.findings {
				if one.Code == string(policy.HostTaken) {
					by, _, _ := strings.Cut(one.Message, " has this host")
					got = append(got, one.Name+": "+by[strings.LastIndex(by, ": ")+2:])
				}
			}
			assert.Equal(t, tc.want, got)
		})
	}
}
