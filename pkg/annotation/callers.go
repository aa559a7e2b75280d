// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// GatewayNamespace is where Kyma's ingress gateways run. Nothing in it can be a
// caller inside the mesh: what its identities ask for came from outside.
const GatewayNamespace = "istio-system"

// Callers is who inside the mesh may call a Service.
type Callers struct {
	// All is true for every identity of the mesh but those of ingress gateways.
	All bool
	// Listed are the callers one by one, in the author's order; none if All.
	Listed []Caller
}

// Caller is one identity, or all those of a namespace.
type Caller struct {
	Namespace string
	// ServiceAccount is "" for all those of the namespace.
	ServiceAccount string
}

// String returns the caller as its author wrote it.
func (c Caller) String() string {
	if c.ServiceAccount == "" {
		return c.Namespace
	}
	return c.Namespace + "/" + c.ServiceAccount
}

// String returns the callers as their author may write them.
func (c Callers) String() string {
	if c.All {
		return "*"
	}
	texts := make([]string, 0, len(c.Listed))
	for _, one := range c.Listed {
		texts = append(texts, one.String())
	}
	return strings.Join(texts, ", ")
}

// ParseCallers reads the value of [InternalCallers]. Blanks around an entry are
// not part of it. An entry that stands for more than a namespace, and one that
// may be an ingress gateway, are errors: nobody gets in by a wildcard that its
// author did not think through.
func ParseCallers(path *field.Path, value string) (*Callers, field.ErrorList) {
	if strings.TrimSpace(value) == "*" {
		return &Callers{All: true}, nil
	}
	if problem := unreadableCallers(value); problem != "" {
		return nil, field.ErrorList{invalid(path, value, problem)}
	}
	callers := &Callers{}
	var errs field.ErrorList
	for entry := range strings.SplitSeq(value, ",") {
		caller, problem := parseCaller(strings.TrimSpace(entry))
		switch {
		case problem != "":
			errs = append(errs, invalid(path, value, problem))
		case slices.Contains(callers.Listed, caller):
			errs = append(errs, invalid(path, value, fmt.Sprintf("names %q twice; name each caller once", bound.Text(caller.String()))))
		default:
			callers.Listed = append(callers.Listed, caller)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return callers, nil
}

// unreadableCallers says why a list of callers is not read at all, or "".
func unreadableCallers(value string) string {
	switch entries := strings.Count(value, ",") + 1; {
	case len(value) > MaxValue:
		return fmt.Sprintf("has %d bytes; at most %d are read", len(value), MaxValue)
	case entries > MaxNames:
		return fmt.Sprintf("has %d entries; name at most %d callers, or whole namespaces", entries, MaxNames)
	case strings.TrimSpace(value) == "":
		return `must name a caller: "*", a namespace, or namespace/serviceaccount`
	}
	return ""
}

// parseCaller reads one entry, or says what is wrong with it.
func parseCaller(entry string) (caller Caller, problem string) {
	namespace, account, hasAccount := strings.Cut(entry, "/")
	switch {
	case entry == "":
		return Caller{}, "has an empty entry; separate callers by single commas"
	case strings.Contains(entry, "*"):
		return Caller{}, fmt.Sprintf(`%q has a wildcard; write "*" alone for everybody in the mesh, the name of a namespace for all of it, or namespace/serviceaccount`, bound.Text(entry))
	case strings.Contains(account, "/"):
		return Caller{}, fmt.Sprintf("%q is no caller; write namespace/serviceaccount, without trust domain", bound.Text(entry))
	case len(validation.IsDNS1123Label(namespace)) > 0:
		return Caller{}, fmt.Sprintf("%q does not begin with the name of a namespace; write a namespace, or namespace/serviceaccount", bound.Text(entry))
	case hasAccount && len(validation.IsDNS1123Subdomain(account)) > 0:
		return Caller{}, fmt.Sprintf("%q does not end with the name of a ServiceAccount; write namespace/serviceaccount", bound.Text(entry))
	case namespace == GatewayNamespace:
		return Caller{}, fmt.Sprintf("%q is where the ingress gateways run, and what they pass on comes from outside; name a caller in another namespace", bound.Text(entry))
	}
	return Caller{Namespace: namespace, ServiceAccount: account}, ""
}
