// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

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

// checkHosts reports the hosts of an APIRule that another object has.
func checkHosts(view apirule.View, facts Facts) []Finding {
	var found []Finding
	for i, host := range view.Hosts {
		by, taken := facts.HostsTaken[host]
		if !taken {
			continue
		}
		consequence := "Kyma puts the later one in the state Error; give each a host of its own, or put the rules into one APIRule"
		if !strings.HasPrefix(by, apirule.Kind) {
			consequence = "Kyma puts an APIRule that is later in the state Error, and one that was there first shares the host with routes that its rules do not protect; give each a host of its own, or expose everything by the APIRule"
		}
		full := FullHost(host, facts.GatewayDomains[view.Gateway])
		finding := newFinding(HostTaken, Warn, field.NewPath("spec", "hosts").Index(i), full, fmt.Sprintf("%s has this host too, and %s", by, consequence), by+" has the host too")
		finding.Subject, finding.Foreign = full+" "+by, foreignObject(by, view.Namespace)
		found = append(found, finding)
	}
	return found
}
