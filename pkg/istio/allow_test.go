// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package istio_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

func TestWhatLetsTheGatewayIn(t *testing.T) {
	everything := []istio.Allow{{}}
	for name, tc := range map[string]struct {
		spec string
		want []istio.Allow
	}{
		"everybody":                        {"{action: ALLOW, rules: [{}]}", everything},
		"no action, which is ALLOW":        {"{rules: [{}]}", everything},
		"nobody":                           {"{action: ALLOW}", nil},
		"another action":                   {"{action: DENY, rules: [{}]}", nil},
		"a target":                         {"{targetRef: {kind: Gateway, name: a}, rules: [{}]}", nil},
		"a method":                         {"{rules: [{to: [{operation: {methods: [GET]}}]}]}", []istio.Allow{{Methods: []string{"GET"}}}},
		"two operations":                   {"{rules: [{to: [{operation: {hosts: [a]}}, {operation: {notPaths: [/b]}}]}]}", []istio.Allow{{Hosts: []string{"a"}}, {NotPaths: []string{"/b"}}}},
		"the gateway by name":              {"{rules: [{from: [{source: {principals: [cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account]}}]}]}", everything},
		"the gateway in another domain":    {"{rules: [{from: [{source: {principals: [td/ns/istio-system/sa/istio-ingressgateway-service-account]}}]}]}", everything},
		"every principal":                  {"{rules: [{from: [{source: {principals: ['*']}}]}]}", everything},
		"the namespace of the gateway":     {"{rules: [{from: [{source: {namespaces: [istio-system]}}]}]}", everything},
		"the account of the gateway":       {"{rules: [{from: [{source: {serviceAccounts: [istio-system/istio-ingressgateway-service-account]}}]}]}", everything},
		"an account of the namespace":      {"{rules: [{from: [{source: {serviceAccounts: [istio-ingressgateway-service-account]}}]}]}", nil},
		"other principals":                 {"{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]}", nil},
		"all but the gateway":              {"{rules: [{from: [{source: {notPrincipals: [cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account]}}]}]}", nil},
		"all but its namespace":            {"{rules: [{from: [{source: {principals: ['*'], notNamespaces: [istio-system]}}]}]}", nil},
		"one source of two":                {"{rules: [{from: [{source: {namespaces: [shop]}}, {source: {ipBlocks: [10.0.0.0/8]}}]}]}", everything},
		"one rule of two":                  {"{rules: [{from: [{source: {namespaces: [shop]}}]}, {to: [{operation: {paths: [/a]}}]}]}", []istio.Allow{{Paths: []string{"/a"}}}},
		"with a token":                     {"{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}", nil},
		"without a token":                  {"{rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}", everything},
		"a claim":                          {"{rules: [{when: [{key: 'request.auth.claims[iss]', values: [a]}]}]}", nil},
		"a header":                         {"{rules: [{when: [{key: 'request.headers[x]', values: [a]}]}]}", everything},
		"a condition about other callers":  {"{rules: [{when: [{key: source.namespace, values: [shop]}]}]}", nil},
		"a condition without the gateway":  {"{rules: [{when: [{key: source.principal, notValues: ['*/istio-ingressgateway-service-account']}]}]}", nil},
		"more operations than are kept":    {"{rules: [{to: [" + strings.Repeat("{operation: {methods: [GET]}},", 17) + "]}]}", append(repeated(istio.Allow{Methods: []string{"GET"}}, 15), istio.Allow{})},
		"more patterns than are kept":      {"{rules: [{to: [{operation: {methods: [" + strings.Repeat("GET,", 17) + "]}}]}]}", everything},
		"more exceptions than are kept":    {"{rules: [{to: [{operation: {notMethods: [" + strings.Repeat("GET,", 17) + "]}}]}]}", []istio.Allow{{NotMethods: repeated("GET", 16)}}},
		"a longer pattern than is kept":    {"{rules: [{to: [{operation: {paths: [/" + strings.Repeat("a", 256) + "]}}]}]}", everything},
		"what cannot be read is any value": {"{rules: [a, {from: a, to: [b], when: [c]}]}", append(everything, istio.Allow{})},
	} {
		t.Run(name, func(t *testing.T) {
			var object map[string]any
			require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: shop, name: a}\nspec: "+tc.spec), &object))
			assert.Equal(t, tc.want, istio.ParseAuthorizationPolicy(object).Allows)
		})
	}
	var object map[string]any
	require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: shop, annotations: {istio.io/dry-run: 'true'}}\nspec: {rules: [{}]}"), &object))
	assert.Empty(t, istio.ParseAuthorizationPolicy(object).Allows, "a dry run")
}

func repeated[T any](one T, times int) []T {
	var all []T
	for range times {
		all = append(all, one)
	}
	return all
}

func TestHostsThatAPolicyTakes(t *testing.T) {
	const host = "shop.example.com"
	for name, tc := range map[string]struct {
		allow         istio.Allow
		host          string
		exactly, port bool
	}{
		"every host":                  {istio.Allow{}, host, true, true},
		"the host":                    {istio.Allow{Hosts: []string{host}}, host, true, false},
		"in other letters":            {istio.Allow{Hosts: []string{"Shop.Example.com"}}, host, true, false},
		"the host with a port":        {istio.Allow{Hosts: []string{host + ":443"}}, host, false, true},
		"the host with any port":      {istio.Allow{Hosts: []string{host + ":*"}}, host, false, true},
		"what begins like it":         {istio.Allow{Hosts: []string{"shop.*"}}, host, true, true},
		"what ends like it":           {istio.Allow{Hosts: []string{"*.example.com"}}, host, true, false},
		"any host with a port":        {istio.Allow{Hosts: []string{"*:443"}}, host, false, true},
		"what ends in digits":         {istio.Allow{Hosts: []string{"*3"}}, host, false, true},
		"another host":                {istio.Allow{Hosts: []string{"pay.example.com", "pay.example.com:443"}}, host, false, false},
		"all but the host":            {istio.Allow{NotHosts: []string{host}}, host, false, true},
		"all but the host and ports":  {istio.Allow{NotHosts: []string{host + "*"}}, host, false, false},
		"all but ports of it":         {istio.Allow{NotHosts: []string{host + ":*"}}, host, true, false},
		"all but one port of it":      {istio.Allow{NotHosts: []string{host + ":443"}}, host, true, true},
		"all but everything":          {istio.Allow{NotHosts: []string{"*"}}, host, false, false},
		"one of many hosts":           {istio.Allow{Hosts: []string{"a.example.com"}}, "*.example.com", true, false},
		"one of many, with a port":    {istio.Allow{Hosts: []string{"a.example.com:443"}}, "*.example.com", false, true},
		"many of many":                {istio.Allow{Hosts: []string{"a.*"}}, "*.example.com", true, true},
		"none of many":                {istio.Allow{Hosts: []string{"a.example.org"}}, "*.example.com", false, false},
		"none of many, begins like":   {istio.Allow{Hosts: []string{"*.example.org"}}, "*.example.com", false, false},
		"all but one of many":         {istio.Allow{NotHosts: []string{"a.example.com"}}, "*.example.com", true, true},
		"a port that nobody can have": {istio.Allow{Hosts: []string{host + ":"}}, host, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.exactly, tc.allow.TakesHost(tc.host), "the host as it is")
			assert.Equal(t, tc.port, tc.allow.TakesHostWithPort(tc.host), "with a port")
		})
	}
}
