// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// What istiod's builder says about the same services is in findings of the oracle.
func TestServicesOfAuthorizers(t *testing.T) {
	for service, takes := range map[string]bool{
		"proxy.auth.svc.cluster.local":        true,
		"auth/proxy.auth.svc.cluster.local":   true,
		"ext.example.com":                     true, // may be a ServiceEntry
		"10.0.0.1":                            true,
		"any/ext.example.com":                 true,
		"proxy":                               false,
		"proxy.auth":                          true, // may be a ServiceEntry
		"proxy.auth.svc":                      false,
		"auth/proxy":                          false,
		"other/proxy.auth.svc.cluster.local":  false,
		"proxy.auth.svc.cluster.local:80":     false,
		"proxy.auth.svc.cluster.local.":       false,
		"http://proxy.auth.svc.cluster.local": false,
		"Proxy.auth.svc.cluster.local":        false,
		" proxy.auth.svc.cluster.local":       false,
		"*.auth.svc.cluster.local":            false,
		"auth/*":                              false,
		"a/b/c":                               false,
		"_":                                   false,
		"/":                                   false,
	} {
		entry := good(0, "corp")
		entry.Service = service
		assert.Equal(t, !takes, policy.Denies(policy.CheckIstio(nil, cr(entry), policy.IstioFacts{})), service)
	}
}
