// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestAuthorizerWidened(t *testing.T) {
	changed := func(change func(*istio.Authorizer)) *istio.View {
		entry := good(1, "corp")
		change(&entry)
		return cr(good(0, "other"), entry)
	}
	const says = `warn: spec.config.authorizers[1]: Invalid value: "corp": the authorizer is used by 1 APIRule, whose requests somebody else may decide about: shop/cart; it now has %s; make sure that it refuses what the earlier one refused, or register it under a new name [AuthorizerWidened]`
	before := cr(good(0, "corp"), good(1, "other"))
	cases := map[string]struct {
		after *istio.View
		users policy.IstioFacts
		want  []string
	}{
		"it only moved":           {changed(func(*istio.Authorizer) {}), used("corp"), nil},
		"another timeout":         {changed(func(a *istio.Authorizer) { a.Timeout = "9s" }), used("corp"), nil},
		"nobody uses it":          {changed(func(a *istio.Authorizer) { a.Port = 81 }), used("other"), nil},
		"nobody looked":           {changed(func(a *istio.Authorizer) { a.Port = 81 }), policy.IstioFacts{}, nil},
		"it is removed":           {cr(good(0, "other")), used("none"), nil},
		"another port":            {changed(func(a *istio.Authorizer) { a.Port = 81 }), used("corp"), []string{fmt.Sprintf(says, `the port "81" instead of "80"`)}},
		"another path is asked":   {changed(func(a *istio.Authorizer) { a.PathPrefix = "/ping?x=" }), used("corp"), []string{fmt.Sprintf(says, `the pathPrefix "/ping?x=" instead of "/verify?original="`)}},
		"somebody else and a way": {changed(func(a *istio.Authorizer) { a.Service, a.Port = "evil.tenant.svc.cluster.local", 1 }), used("corp"), []string{fmt.Sprintf(says, `the service "evil.tenant.svc.cluster.local" instead of "corp.auth.svc.cluster.local", the port "1" instead of "80"`)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, sentences(policy.CheckIstio(before, tc.after, tc.users))))
		})
	}
}

// A CR that takes over is a change of its entries too.
func TestAuthorizerWidenedByAnotherCR(t *testing.T) {
	other := good(0, "corp")
	other.Service = "evil.tenant.svc.cluster.local"
	facts := used("corp")
	facts.Others = []istio.View{{Namespace: "kyma-system", Name: "younger", Created: "2026-01-03T00:00:00Z", Authorizers: []istio.Authorizer{other}}}
	found := policy.CheckIstio(cr(good(0, "corp")), nil, facts)
	if assert.Len(t, found, 1) {
		assert.Equal(t, policy.AuthorizerWidened, found[0].Code)
		assert.Equal(t, "metadata.name", found[0].Err.Field)
	}
}

func TestAuthorizerWidenedNamesSixteen(t *testing.T) {
	var users []string
	for i := range 20 {
		users = append(users, fmt.Sprintf("shop/r%02d", i))
	}
	after := cr(good(0, "corp"))
	after.Authorizers[0].Port = 81
	found := policy.CheckIstio(cr(good(0, "corp")), after, policy.IstioFacts{Users: func(string) []string { return users }})
	if assert.Len(t, found, 1) {
		assert.Equal(t, 16, strings.Count(found[0].Err.Detail, "shop/r"))
		assert.Contains(t, found[0].Err.Detail, "used by 20 APIRules")
		assert.Contains(t, found[0].Err.Detail, "and 4 more")
		assert.Equal(t, `AuthorizerWidened: spec.config.authorizers[0]: "corp", used by 20 APIRules, gets another port`, found[0].Warning())
	}
}
