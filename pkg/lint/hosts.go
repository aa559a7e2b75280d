// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// HostTaken is an APIRule whose host another object has, of the input or of the
// cluster: Kyma puts the later one in the state Error.
const HostTaken = "HostTaken"

// Hosts has, for each host, the first object that takes it: one of a cluster, or
// else of the input in its order.
type Hosts map[string]identity

// claim is an object that takes a host.
type claim struct {
	by   identity
	host string
}

// take notes who takes which host. An object of the input stands for the one that
// the cluster has.
func (h Hosts) take(cluster, input []claim) {
	type key struct {
		kind string
		name types.NamespacedName
	}
	named := func(by identity) key { return key{by.groupKind(), by.namespacedName()} }
	given := map[key]bool{}
	for _, one := range input {
		given[named(one.by)] = true
	}
	cluster = slices.DeleteFunc(cluster, func(one claim) bool { return given[named(one.by)] })
	for _, one := range slices.Concat(cluster, input) {
		if _, taken := h[one.host]; !taken {
			h[one.host] = one.by
		}
	}
}

// existing returns the claims of a cluster. Once manifests are collected, the world
// has those, too.
func (l Linter) existing(world *facts.World) []claim {
	var all []claim
	for _, view := range world.APIRules() {
		if host := view.Host(); host != "" && !view.Deleting {
			by := identity{apiVersion: apirule.Group + "/v2", kind: apirule.Kind, namespace: view.Namespace, name: view.Name}
			all = append(all, claim{by, policy.FullHost(host, l.domain(view.Gateway))})
		}
	}
	for _, service := range world.VirtualServices() {
		by := identity{apiVersion: "networking.istio.io/v1", kind: "VirtualService", namespace: service.Namespace, name: service.Name}
		for _, host := range service.Hosts {
			if len(service.Gateways) > 0 {
				all = append(all, claim{by, host})
			}
		}
	}
	return all
}

// claimed returns the claims of an APIRule, or of a VirtualService that nobody made
// for one.
func (l Linter) claimed(object map[string]any) []claim {
	about := identify(object, l.Namespace)
	var all []claim
	for _, host := range hostsOf(about, object, l.domain) {
		all = append(all, claim{about, host})
	}
	return all
}

func hostsOf(about identity, object map[string]any, domain func(gateway string) string) []string {
	hosts, _, _ := unstructured.NestedStringSlice(object, "spec", "hosts")
	switch about.groupKind() {
	case apirule.Kind + "." + apirule.Group:
		gateway, _, _ := unstructured.NestedString(object, "spec", "gateway")
		for i, host := range hosts {
			hosts[i] = policy.FullHost(host, domain(gateway))
		}
		return hosts
	case "VirtualService.networking.istio.io":
		gateways, _, _ := unstructured.NestedStringSlice(object, "spec", "gateways")
		labels, _, _ := unstructured.NestedStringMap(object, "metadata", "labels")
		for label := range labels {
			if strings.HasPrefix(label, "apirule."+apirule.Group+"/") {
				return nil
			}
		}
		for _, gateway := range gateways {
			if gateway != "mesh" {
				return hosts
			}
		}
	}
	return nil
}

// taken tells which hosts of an APIRule another object has.
func (l Linter) taken(about identity, object map[string]any) []policy.Finding {
	if l.Hosts == nil {
		return nil
	}
	var found []policy.Finding
	for i, host := range hostsOf(about, object, l.domain) {
		by, isTaken := l.Hosts[host]
		if !isTaken || by.groupKind() == about.groupKind() && by.namespacedName() == about.namespacedName() {
			continue
		}
		found = append(found, policy.Finding{
			Code: HostTaken, Severity: policy.Warn, Subject: host, Brief: "the host is taken",
			Err: field.Invalid(field.NewPath("spec", "hosts").Index(i), bound.Text(host), fmt.Sprintf(
				"%s %s has this host too, and Kyma puts the later one in the state Error; give each a host of its own, or put the rules into one APIRule",
				by.kind, bound.Text(by.namespacedName().String()))),
		})
	}
	return found
}
