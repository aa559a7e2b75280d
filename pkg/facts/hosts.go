// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// hosts is an index of what has a host at a gateway. The zero value is empty, and can
// only be read.
type hosts map[string]holders

// holders are the objects that have one host.
type holders struct {
	apirules sortedNames
	// virtualServices are those that no APIRule made.
	virtualServices sortedNames
}

func (h holders) empty() bool {
	return len(h.apirules) == 0 && len(h.virtualServices) == 0
}

// other returns an object that has the host, and is not that APIRule: "VirtualService
// shop/web"; "" if there is none.
func (h holders) other(self types.NamespacedName) string {
	if len(h.virtualServices) > 0 {
		return "VirtualService " + h.virtualServices[0].String()
	}
	if name, exists := h.apirules.otherThan(self, self.Namespace); exists {
		return apirule.Kind + " " + name.String()
	}
	return ""
}

func (h hosts) edit(host string, change func(*holders)) {
	of := h[host]
	if change(&of); of.empty() {
		delete(h, host)
	} else {
		h[host] = of
	}
}

// hostsOfView returns the hosts of an APIRule as they are in the index. A short host under
// an unknown domain is another one at every gateway. The caller holds mu.
func (w *World) hostsOfView(view apirule.View) []string {
	if view.Deleting {
		return nil
	}
	all := make([]string, 0, len(view.Hosts))
	for _, host := range view.Hosts {
		full := policy.FullHost(host, w.cluster.domains[view.Gateway])
		if !strings.Contains(full, ".") {
			full += "@" + view.Gateway
		}
		all = append(all, full)
	}
	return all
}

// takeHosts puts the hosts of an APIRule into the index. The caller holds mu.
func (w *World) takeHosts(view apirule.View) {
	for _, host := range w.hostsOfView(view) {
		w.hosts.edit(host, func(of *holders) { of.apirules = of.apirules.with(view.NamespacedName()) })
	}
}

// leaveHosts takes the hosts of an APIRule out of the index. The caller holds mu.
func (w *World) leaveHosts(view apirule.View) {
	for _, host := range w.hostsOfView(view) {
		w.hosts.edit(host, func(of *holders) { of.apirules = of.apirules.without(view.NamespacedName()) })
	}
}

// Renew tells which hosts an APIRule is about to have at a Gateway, of which the world has an
// earlier version or less than all; what Kyma made of that is about to be replaced. It is for
// manifests, after [World.SetAPIRule], which takes the hosts of what it is given.
func (w *World) Renew(name types.NamespacedName, gateway string, hosts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.renewed == nil {
		w.renewed = set{}
	}
	w.renewed[name] = struct{}{}
	if before, exists := w.apirules.get(name); exists {
		w.leaveHosts(before)
	}
	w.takeHosts(apirule.View{Namespace: name.Namespace, Name: name.Name, Gateway: gateway, Hosts: hosts})
}

// addHosts adds who else has the hosts of an APIRule. The caller holds mu.
func (w *World) addHosts(facts *policy.Facts, view apirule.View) {
	for i, host := range w.hostsOfView(view) {
		other := w.hosts[host].other(view.NamespacedName())
		if other == "" {
			continue
		}
		if facts.HostsTaken == nil {
			facts.HostsTaken = make(map[string]string, 1)
		}
		facts.HostsTaken[view.Hosts[i]] = other
	}
}

// addHolders adds the APIRules that have a host in common with one. The caller holds mu.
func (w *World) addHolders(found *affected, hosts []string) {
	for _, host := range hosts {
		for _, name := range w.hosts[host].apirules {
			found.one(name)
		}
	}
}
