// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "strings"

// FullHost returns the host that Kyma serves for the host of an APIRule: a short
// one is a label under the domain of its gateway (Kyma api-gateway 3.10,
// validation/v2alpha1/hosts.go). Without the domain it stays as it is.
func FullHost(host, domain string) string {
	if host == "" || domain == "" || strings.Contains(host, ".") {
		return host
	}
	return host + "." + domain
}

// overlap is true if there is a host that both patterns mean. "*." stands for
// one or more labels, as in an Istio Gateway.
func overlap(a, b string) bool {
	below, aWild := strings.CutPrefix(a, "*")
	other, bWild := strings.CutPrefix(b, "*")
	switch {
	case aWild && bWild:
		return strings.HasSuffix(below, other) || strings.HasSuffix(other, below)
	case aWild:
		return strings.HasSuffix(b, below)
	case bWild:
		return strings.HasSuffix(a, other)
	}
	return a == b
}
