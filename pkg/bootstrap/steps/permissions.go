// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"slices"
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
// results, which are the composition root's.
func Permissions(cfg config.BootstrapConfig) []Permission {
	env := Environment{Config: cfg}
	var needs []Permission
	for _, each := range list(env) {
		undo, undoable := each.(undoer)
		switch {
		case env.wants(each):
			needs = append(needs, each.Needs()...)
		case undoable:
			needs = append(needs, undo.UndoNeeds()...)
		}
	}
	return once(needs)
}

// UninstallPermissions returns what the steps of an uninstall need.
func UninstallPermissions(cfg config.BootstrapConfig) []Permission {
	var needs []Permission
	for _, each := range list(Environment{Config: cfg}) {
		if undo, undoable := each.(undoer); undoable {
			needs = append(needs, undo.UndoNeeds()...)
		}
	}
	return once(needs)
}

// once leaves out what several steps need.
func once(needs []Permission) []Permission {
	seen := map[Permission]bool{}
	return slices.DeleteFunc(needs, func(each Permission) bool {
		again := seen[each]
		seen[each] = true
		return again
	})
}

// verbs spreads one permission over several verbs.
func verbs(permission Permission, names ...string) []Permission {
	var needs []Permission
	for _, name := range names {
		permission.Verb = name
		needs = append(needs, permission)
	}
	return needs
}

// istioCR is a permission on the Istio CRs, without a verb.
func istioCR() Permission {
	return Permission{Namespace: istio.Namespace, Group: istio.Group, Resource: istio.Resource}
}

// secrets is a permission on the Secrets of the proxy's namespace, without a verb.
func (e Environment) secrets() Permission {
	return Permission{Namespace: e.Config.Proxy.Namespace, Resource: "secrets"}
}

// Needs are the gateway, for the domain, and the Istio CR; what else preflight
// looks at is what the other steps do.
func (p *preflight) Needs() []Permission {
	needs := verbs(istioCR(), "list")
	if p.Config.Domain == config.Auto {
		namespace, name, _ := strings.Cut(p.Config.Gateway, "/")
		needs = append(needs, Permission{Namespace: namespace, Group: gatewayGVK().Group, Resource: "gateways", Name: name, Verb: "get"})
	}
	return needs
}

// Needs are to make the namespace or to label it.
func (n *namespace) Needs() []Permission {
	return append(verbs(Permission{Resource: "namespaces", Name: n.Config.Proxy.Namespace}, "get", "patch"),
		Permission{Resource: "namespaces", Verb: "create"})
}

// UndoNeeds are to delete the namespace, and to see whether it holds anything of
// others.
func (n *namespace) UndoNeeds() []Permission {
	needs := verbs(Permission{Resource: "namespaces", Name: n.Config.Proxy.Namespace}, "get", "delete")
	for _, resource := range []string{"configmaps", "secrets", "services", "persistentvolumeclaims", "pods"} {
		needs = append(needs, Permission{Namespace: n.Config.Proxy.Namespace, Resource: resource, Verb: "list"})
	}
	return needs
}

// Needs are the user's Secret and the proxy's.
func (c *credentials) Needs() []Permission {
	user := Permission{Namespace: c.Config.Credentials.Namespace, Resource: "secrets", Name: c.Config.Credentials.Name}
	return append(verbs(user, "get"), verbs(c.secrets(), "get", "create", "update")...)
}

// UndoNeeds are to delete the proxy's Secret.
func (c *credentials) UndoNeeds() []Permission { return verbs(c.secrets(), "get", "delete") }

// Needs are Helm's, and the Pods and logs by which a proxy that does not start is
// explained.
func (p *proxy) Needs() []Permission {
	pods := Permission{Namespace: p.Config.Proxy.Namespace, Resource: "pods", Verb: "list"}
	logs := Permission{Namespace: p.Config.Proxy.Namespace, Resource: "pods", Subresource: "log", Verb: "get"}
	return append([]Permission{pods, logs}, p.helmNeeds()...)
}

// UndoNeeds are Helm's.
func (p *proxy) UndoNeeds() []Permission { return p.helmNeeds() }

// helmNeeds are for Helm's own release Secrets and for what the chart oauth2-proxy
// 10.7.0 makes; a values file that makes it produce other kinds needs more.
func (p *proxy) helmNeeds() []Permission {
	needs := verbs(p.secrets(), "get", "list", "create", "update", "delete")
	for _, kind := range []Permission{
		{Resource: "configmaps"},
		{Resource: "services"},
		{Resource: "serviceaccounts"},
		{Group: "apps", Resource: "deployments"},
		{Group: "policy", Resource: "poddisruptionbudgets"},
	} {
		kind.Namespace = p.Config.Proxy.Namespace
		needs = append(needs, verbs(kind, "get", "create", "patch", "delete")...)
	}
	return needs
}

// Needs are the objects, and to see who else has the host.
func (c *callback) Needs() []Permission {
	return append(c.objectNeeds("get", "create", "update"),
		Permission{Group: apiRuleGVK().Group, Resource: "apirules", Verb: "list"},
		Permission{Group: virtualServiceGVK().Group, Resource: "virtualservices", Verb: "list"})
}

// UndoNeeds are to delete the objects.
func (c *callback) UndoNeeds() []Permission { return c.objectNeeds("get", "delete") }

func (c *callback) objectNeeds(names ...string) []Permission {
	rule := Permission{Namespace: c.Config.Proxy.Namespace, Group: apiRuleGVK().Group, Resource: "apirules"}
	policy := Permission{Namespace: c.Config.Proxy.Namespace, Group: authorizationPolicyGVK().Group, Resource: "authorizationpolicies"}
	shield := policy
	shield.Namespace = istio.MeshNamespace
	return slices.Concat(verbs(rule, names...), verbs(policy, names...), verbs(shield, names...))
}

// Needs are to change the Istio CR.
func (*authorizer) Needs() []Permission { return verbs(istioCR(), "list", "patch") }

// UndoNeeds are the same, and to see which APIRules use the authorizer.
func (a *authorizer) UndoNeeds() []Permission {
	return append(a.Needs(), Permission{Group: apiRuleGVK().Group, Resource: "apirules", Verb: "list"})
}

// Needs are what Kyma says of the Istio CR, and the mesh configuration.
func (*effective) Needs() []Permission {
	mesh := Permission{Namespace: istio.MeshNamespace, Resource: "configmaps", Name: istio.MeshConfigMap, Verb: "get"}
	return append(verbs(istioCR(), "list"), mesh)
}

// Needs is the Secret by which verify gets a token.
func (v *verify) Needs() []Permission { return verbs(v.secrets(), "get") }

// Needs are the creates that are tried and stored by nobody.
func (s *selfCheck) Needs() []Permission {
	return []Permission{{Namespace: s.Config.SelfCheck.Namespace, Group: apiRuleGVK().Group, Resource: "apirules", Verb: "create"}}
}
