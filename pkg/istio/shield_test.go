// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestShields(t *testing.T) {
	const at = "metadata: {namespace: istio-system, name: shield}\n"
	const when = "when: [{key: 'request.headers[X-User]', values: ['*']}]"
	of := func(hosts ...string) []istio.Shield { return []istio.Shield{{Header: "x-user", Hosts: hosts}} }
	for name, tc := range map[string]struct {
		policy string
		want   []istio.Shield
	}{
		"for some hosts": {
			at + "spec: {action: DENY, selector: {matchLabels: {istio: ingressgateway}}, rules: [{to: [{operation: {hosts: ['*.example.com']}}, {operation: {hosts: [a.org]}}], " + when + "}]}",
			of("*.example.com", "a.org"),
		},
		"for all hosts":                {at + "spec: {action: DENY, rules: [{" + when + "}]}", of()},
		"one rule of two":              {at + "spec: {action: DENY, rules: [{" + when + "}, {from: [{source: {namespaces: [a]}}], " + when + "}]}", of()},
		"another action":               {at + "spec: {action: AUDIT, rules: [{" + when + "}]}", nil},
		"no action, which is ALLOW":    {at + "spec: {rules: [{" + when + "}]}", nil},
		"another namespace":            {"metadata: {namespace: shop}\nspec: {action: DENY, rules: [{" + when + "}]}", nil},
		"other Pods":                   {at + "spec: {action: DENY, selector: {matchLabels: {istio: egressgateway}}, rules: [{" + when + "}]}", nil},
		"a target":                     {at + "spec: {action: DENY, targetRefs: [{kind: Gateway, name: a}], rules: [{" + when + "}]}", nil},
		"a dry run":                    {"metadata: {namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}\nspec: {action: DENY, rules: [{" + when + "}]}", nil},
		"some paths":                   {at + "spec: {action: DENY, rules: [{to: [{operation: {hosts: [a.org], paths: [/a]}}], " + when + "}]}", nil},
		"some callers":                 {at + "spec: {action: DENY, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}], " + when + "}]}", nil},
		"one value":                    {at + "spec: {action: DENY, rules: [{when: [{key: 'request.headers[x-user]', values: [admin]}]}]}", nil},
		"two conditions":               {at + "spec: {action: DENY, rules: [{when: [{key: 'request.headers[x-user]', values: ['*']}, {key: 'request.headers[x-b]', values: ['*']}]}]}", nil},
		"a value that is an exception": {at + "spec: {action: DENY, rules: [{when: [{key: 'request.headers[x-user]', values: ['*'], notValues: [me]}]}]}", nil},
		"another condition":            {at + "spec: {action: DENY, rules: [{when: [{key: request.auth.principal, values: ['*']}]}]}", nil},
		"nothing that can be read":     {at + "spec: {action: DENY, rules: [a, {when: a}, {when: [a]}]}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var object map[string]any
			require.NoError(t, yaml.Unmarshal([]byte(tc.policy), &object))
			assert.Equal(t, tc.want, istio.ParseShields(object))
		})
	}
}

func TestAShieldCoversHosts(t *testing.T) {
	shield := istio.Shield{Hosts: []string{"*.example.com", "a.org"}}
	for host, want := range map[string]bool{"b.example.com": true, "c.b.example.com": true, "*.example.com": true, "a.org": true, "example.com": false, "b.a.org": false, "": false} {
		assert.Equal(t, want, shield.Covers(host), host)
	}
	assert.True(t, istio.Shield{}.Covers("any"))
}
