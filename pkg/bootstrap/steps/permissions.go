// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// Permission is one thing that the job has to be allowed to do.
type Permission struct {
	// Namespace is empty for the whole cluster.
	Namespace string
	// Group is empty for the core API.
	Group string
	// Resource and Subresource, the latter mostly empty.
	Resource, Subresource string
	// Name is empty for all objects.
	Name string
	// Verb of the API.
	Verb string
}

// String is the permission in words, as in "create secrets in oauth2-proxy".
func (p Permission) String() string {
	resource := p.Resource
	if p.Group != "" {
		resource += "." + p.Group
	}
	if p.Subresource != "" {
		resource += "/" + p.Subresource
	}
	out := p.Verb + " " + resource
	if p.Name != "" {
		out += " " + p.Name
	}
	if p.Namespace != "" {
		out += " in " + p.Namespace
	}
	return out
}

// Permissions returns what the steps of a run need beside the lock and the
// results, which are the composition root's. Helm's part is what the chart
// oauth2-proxy 10.7.0 makes; a values file that makes it produce other kinds needs
// more.
func Permissions(cfg config.BootstrapConfig) []Permission {
	ns := cfg.Proxy.Namespace
	needs := []Permission{
		{Resource: "namespaces", Name: ns, Verb: "get"},
		{Resource: "namespaces", Name: ns, Verb: "patch"},
		{Resource: "namespaces", Verb: "create"},
		{Namespace: cfg.Credentials.Namespace, Resource: "secrets", Name: cfg.Credentials.Name, Verb: "get"},
		{Namespace: istio.Namespace, Group: istio.Group, Resource: istio.Resource, Verb: "list"},
		{Namespace: istio.Namespace, Group: istio.Group, Resource: istio.Resource, Verb: "patch"},
		{Namespace: istio.MeshNamespace, Resource: "configmaps", Name: istio.MeshConfigMap, Verb: "get"},
		{Namespace: ns, Resource: "pods", Verb: "list"},
		{Namespace: ns, Resource: "pods", Subresource: "log", Verb: "get"},
	}
	needs = append(needs, helmPermissions(ns)...)
	if cfg.Domain == config.Auto {
		namespace, name, _ := strings.Cut(cfg.Gateway, "/")
		needs = append(needs, Permission{Namespace: namespace, Group: gatewayGVK().Group, Resource: "gateways", Name: name, Verb: "get"})
	}
	if cfg.SelfCheck.Enabled {
		needs = append(needs, Permission{Namespace: cfg.SelfCheck.Namespace, Group: apiRuleGVK().Group, Resource: "apirules", Verb: "create"})
	}
	if cfg.Flow == config.FlowAuthorizationCode {
		needs = append(needs,
			Permission{Group: apiRuleGVK().Group, Resource: "apirules", Verb: "list"},
			Permission{Group: virtualServiceGVK().Group, Resource: "virtualservices", Verb: "list"})
		needs = append(needs, callbackPermissions(ns, "get", "create", "update")...)
	}
	return needs
}

// UninstallPermissions returns what the steps of an uninstall need.
func UninstallPermissions(cfg config.BootstrapConfig) []Permission {
	ns := cfg.Proxy.Namespace
	needs := []Permission{
		{Resource: "namespaces", Name: ns, Verb: "get"},
		{Resource: "namespaces", Name: ns, Verb: "delete"},
		{Namespace: istio.Namespace, Group: istio.Group, Resource: istio.Resource, Verb: "list"},
		{Namespace: istio.Namespace, Group: istio.Group, Resource: istio.Resource, Verb: "patch"},
		{Group: apiRuleGVK().Group, Resource: "apirules", Verb: "list"},
	}
	for _, resource := range []string{"configmaps", "services", "persistentvolumeclaims", "pods"} {
		needs = append(needs, Permission{Namespace: ns, Resource: resource, Verb: "list"})
	}
	needs = append(needs, helmPermissions(ns)...)
	return append(needs, callbackPermissions(ns, "get", "delete")...)
}

// helmPermissions are for Helm's own release Secrets and for what the chart makes.
func helmPermissions(namespace string) []Permission {
	var needs []Permission
	for _, verb := range []string{"get", "list", "create", "update", "delete"} {
		needs = append(needs, Permission{Namespace: namespace, Resource: "secrets", Verb: verb})
	}
	for _, kind := range []Permission{
		{Resource: "configmaps"},
		{Resource: "services"},
		{Resource: "serviceaccounts"},
		{Group: "apps", Resource: "deployments"},
		{Group: "policy", Resource: "poddisruptionbudgets"},
	} {
		for _, verb := range []string{"get", "create", "patch", "delete"} {
			kind.Namespace, kind.Verb = namespace, verb
			needs = append(needs, kind)
		}
	}
	return needs
}

func callbackPermissions(namespace string, verbs ...string) []Permission {
	var needs []Permission
	for _, verb := range verbs {
		needs = append(needs,
			Permission{Namespace: namespace, Group: apiRuleGVK().Group, Resource: "apirules", Verb: verb},
			Permission{Namespace: namespace, Group: authorizationPolicyGVK().Group, Resource: "authorizationpolicies", Verb: verb})
	}
	return needs
}
