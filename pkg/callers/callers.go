// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package callers renders the AuthorizationPolicy that lets callers inside the mesh
// call a Service which APIRules expose. It decides from values and knows no cluster.
//
// Kyma's own ALLOW policy of a workload names the ingress gateway and nobody else, so
// the first APIRule keeps everybody inside the mesh out. Istio lets in whom any ALLOW
// policy of the workload names, so this one adds callers and takes none away. It never
// names an ingress gateway: what a gateway passes on came from outside, and only what
// Kyma made of an APIRule may let that in.
package callers

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// The AuthorizationPolicies that are written.
const (
	Group    = "security.istio.io"
	Version  = "v1"
	Resource = "authorizationpolicies"
	Kind     = "AuthorizationPolicy"
)

// Label marks the policies that are made here, and Manager is the value of it.
const (
	Label   = "app.kubernetes.io/managed-by"
	Manager = "extauth-guard"
)

// prefix starts the names of the policies.
const prefix = "internal-callers-"

// NameFor returns the name of the policy for a Service.
func NameFor(service string) string {
	return prefix + service
}

// ServiceOf returns the name of the Service that a policy is for; "" if it is not one
// of those that are made here.
func ServiceOf(labels map[string]string, name string) string {
	service, ours := strings.CutPrefix(name, prefix)
	if !ours || labels[Label] != Manager {
		return ""
	}
	return service
}

// Wanted is a Service whose callers are to be let in.
type Wanted struct {
	Service  types.NamespacedName
	UID      types.UID
	Selector policy.Selector
	Callers  annotation.Callers
	// Gateways are the identities of the ingress gateways that are known.
	Gateways []annotation.Caller
}

// Gateway returns the ingress gateway that the callers name one by one; ok is false
// if they name none. A gateway in a namespace that they name as a whole is only left
// out.
func (w Wanted) Gateway() (gateway annotation.Caller, ok bool) {
	for _, one := range w.Callers.Listed {
		if one.ServiceAccount != "" && slices.Contains(w.Gateways, one) {
			return one, true
		}
	}
	return annotation.Caller{}, false
}

// Object returns the AuthorizationPolicy. The Service must have a selector.
func (w Wanted) Object() map[string]any {
	return map[string]any{
		"apiVersion": Group + "/" + Version,
		"kind":       Kind,
		"metadata": map[string]any{
			"namespace": w.Service.Namespace,
			"name":      NameFor(w.Service.Name),
			"labels":    map[string]any{Label: Manager},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "v1", "kind": "Service", "name": w.Service.Name, "uid": string(w.UID), "controller": true,
			}},
		},
		"spec": w.Spec(),
	}
}

// Spec returns the spec of the AuthorizationPolicy.
func (w Wanted) Spec() map[string]any {
	labels := map[string]any{}
	for _, pair := range w.Selector {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	source := map[string]any{
		"principals": texts(w.Principals()),
		// Whatever the trust domain: the gateways of another cluster are gateways too.
		"notNamespaces": []any{annotation.GatewayNamespace},
	}
	if outside := w.outside(); len(outside) > 0 {
		source["notPrincipals"] = texts(outside)
	}
	return map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"action":   "ALLOW",
		"rules":    []any{map[string]any{"from": []any{map[string]any{"source": source}}}},
	}
}

// Principals returns whom the policy lets in. istiod takes "cluster.local" for the
// trust domain of the mesh, whatever its name, but only in an identity of five parts
// (istio pilot, security/trustdomain/bundle.go).
func (w Wanted) Principals() []string {
	if w.Callers.All {
		return []string{"*"}
	}
	var principals []string
	for _, one := range w.Callers.Listed {
		account := one.ServiceAccount
		if account == "" {
			account = "*"
		}
		principals = append(principals, "cluster.local/ns/"+one.Namespace+"/sa/"+account)
	}
	return principals
}

// outside returns the principals of the gateways that are not in the namespace which
// is left out as a whole.
func (w Wanted) outside() []string {
	var principals []string
	for _, one := range w.Gateways {
		if one.Namespace != annotation.GatewayNamespace {
			principals = append(principals, "*/ns/"+one.Namespace+"/sa/"+one.ServiceAccount)
		}
	}
	slices.Sort(principals)
	return slices.Compact(principals)
}

func texts(values []string) []any {
	all := make([]any, 0, len(values))
	for _, value := range values {
		all = append(all, value)
	}
	return all
}
