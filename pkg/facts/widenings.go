// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// maxWidenings is how many parts of policies are compared with each rule of an APIRule. One
// more counts as letting in everything.
const maxWidenings = 32

// addWidenings adds the policies by hand that let the ingress gateway in to the workload
// behind a Service, as far as they are about a host of the APIRule. The caller holds mu.
func (w *World) addWidenings(facts *policy.Facts, view apirule.View, service types.NamespacedName) {
	known, _ := w.services.get(service)
	var names []types.NamespacedName
	for name := range w.workloads.acting(service.Namespace, known.Selector) {
		if len(w.policies[name].Allows) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.SortFunc(names, compareNames)
	hosts := make([]string, 0, len(view.Hosts))
	for _, host := range view.Hosts {
		hosts = append(hosts, policy.FullHost(host, w.cluster.domains[view.Gateway]))
	}
	var found []policy.Widening
	for _, name := range names {
		for _, allow := range w.policies[name].Allows {
			if !slices.ContainsFunc(hosts, func(host string) bool { return allow.TakesHost(host) || allow.TakesHostWithPort(host) }) {
				continue
			}
			if len(found) == maxWidenings {
				found[maxWidenings-1].Allow = istio.Allow{}
				break
			}
			found = append(found, policy.Widening{Object: "AuthorizationPolicy " + name.String(), Allow: allow})
		}
	}
	if len(found) == 0 {
		return
	}
	if facts.Widenings == nil {
		facts.Widenings = make(map[types.NamespacedName][]policy.Widening, 1)
	}
	facts.Widenings[service] = found
}
