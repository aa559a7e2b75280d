// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestParseAuthorizationPolicy(t *testing.T) {
	web := map[string]string{"app": "web"}
	cases := map[string]struct {
		text string
		want istio.AuthorizationPolicy
		asks bool
	}{
		"everything in the namespace": {`{spec: {action: CUSTOM, provider: {name: corp}}}`, istio.AuthorizationPolicy{Provider: "corp"}, true},
		"some Pods":                   {`{spec: {action: CUSTOM, provider: {name: corp}, selector: {matchLabels: {app: web}}}}`, istio.AuthorizationPolicy{Provider: "corp", Selector: web}, true},
		"an empty selector":           {`{spec: {action: CUSTOM, provider: {name: corp}, selector: {}}}`, istio.AuthorizationPolicy{Provider: "corp"}, true},
		"empty labels":                {`{spec: {action: CUSTOM, provider: {name: corp}, selector: {matchLabels: {}}}}`, istio.AuthorizationPolicy{Provider: "corp"}, true},
		"targetRefs":                  {`{spec: {action: CUSTOM, provider: {name: corp}, targetRefs: [{kind: Gateway, name: g}]}}`, istio.AuthorizationPolicy{Provider: "corp", Detached: true}, false},
		"a targetRef":                 {`{spec: {action: CUSTOM, provider: {name: corp}, targetRef: {kind: Service, name: s}}}`, istio.AuthorizationPolicy{Provider: "corp", Detached: true}, false},
		"empty targetRefs":            {`{spec: {action: CUSTOM, provider: {name: corp}, targetRefs: [], targetRef: null}}`, istio.AuthorizationPolicy{Provider: "corp"}, true},
		"a label that is no text":     {`{spec: {action: CUSTOM, provider: {name: corp}, selector: {matchLabels: {app: 1}}}}`, istio.AuthorizationPolicy{Provider: "corp", Detached: true}, false},
		"a selector that is no map":   {`{spec: {action: CUSTOM, provider: {name: corp}, selector: all}}`, istio.AuthorizationPolicy{Provider: "corp", Detached: true}, false},
		"another action":              {`{spec: {action: DENY, provider: {name: corp}}}`, istio.AuthorizationPolicy{}, false},
		"no provider":                 {`{spec: {action: CUSTOM}}`, istio.AuthorizationPolicy{}, false},
		"made by Kyma": {
			`{metadata: {labels: {apirule.gateway.kyma-project.io/name: cart, apirule.gateway.kyma-project.io/namespace: shop}}, spec: {action: CUSTOM, provider: {name: corp}}}`,
			istio.AuthorizationPolicy{Provider: "corp", Kyma: true, Owner: types.NamespacedName{Namespace: "shop", Name: "cart"}},
			true,
		},
		"nothing, which keeps everybody out": {`{}`, istio.AuthorizationPolicy{Restricts: true}, false},
		"nothing, as a dry run":              {`{metadata: {annotations: {istio.io/dry-run: "true"}}}`, istio.AuthorizationPolicy{}, false},
		"one that lets callers in":           {`{spec: {action: ALLOW, rules: [{from: [{source: {namespaces: [batch]}}]}]}}`, istio.AuthorizationPolicy{Restricts: true}, false},
		"one for a waypoint":                 {`{spec: {targetRefs: [{kind: Gateway, name: g}]}}`, istio.AuthorizationPolicy{Detached: true}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := istio.ParseAuthorizationPolicy(object(t, tc.text))
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
			assert.Equal(t, tc.asks, got.Asks())
		})
	}
}
