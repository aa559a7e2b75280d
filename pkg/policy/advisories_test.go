// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestHolesOfAnAuthorizer(t *testing.T) {
	view := apirule.View{Namespace: "shop", Name: "cart", Rules: []apirule.Rule{{Strategy: apirule.ExtAuth, Authorizers: []string{"corp", "other"}}}}
	facts := policy.Facts{Backends: map[string]policy.Backend{
		"corp":  {Service: types.NamespacedName{Namespace: "auth", Name: "corp"}, Exists: true, HasPort: true, Ready: true, Holes: []string{"one", "two"}},
		"third": {Holes: []string{"three"}},
	}}
	var got []string
	for _, finding := range policy.Check(view, facts, policy.DefaultSettings()) {
		if finding.Code == policy.AuthorizerVulnerable {
			assert.Equal(t, policy.Warn, finding.Severity)
			got = append(got, finding.Err.Error())
		}
	}
	const at, says = `spec.rules[0].extAuth.authorizers[0]: Invalid value: "corp": `, "the Service auth/corp leads to an oauth2-proxy with a known hole: "
	assert.Equal(t, []string{at + says + "one [AuthorizerVulnerable]", at + says + "two [AuthorizerVulnerable]"}, got)
}
