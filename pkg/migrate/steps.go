// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// guide is where Kyma says how to migrate.
const guide = "https://github.com/kyma-project/api-gateway/tree/main/docs/user/apirule-migration"

// workloads returns the APIRules in front of each workload, and the workloads in
// the order of the APIRules.
func (m *migration) workloads() (order []string, of map[string][]*candidate) {
	of = map[string][]*candidate{}
	for _, c := range m.candidates {
		if !c.legacy || c.done {
			continue
		}
		for _, r := range c.routes {
			key := m.services.workload(r.service)
			if of[key] == nil {
				order = append(order, key)
			}
			if group := of[key]; len(group) == 0 || group[len(group)-1] != c {
				of[key] = append(group, c)
			}
		}
	}
	return order, of
}

// tellTogether says which APIRules are in front of one workload. As soon as one
// of them is v2, Kyma's policies on the workload refuse what comes through the
// others (Kyma api-gateway,
// docs/user/apirule-migration/01-90-migrate-multiple-apirules-targeting-same-workload.md).
func (m *migration) tellTogether() {
	order, workloads := m.workloads()
	for _, key := range order {
		group := workloads[key]
		if len(group) < 2 {
			continue
		}
		names := m.names(group)
		for i, c := range group {
			if c.apiRule == nil {
				names[i] += " (not migrated)"
			}
		}
		for i, c := range group {
			c.note(c.source, Todo, "spec.service", "in front of the same workload as %s: migrate these together, or they answer 403", others(names, i))
		}
	}
}

// steps returns what is to be done, in its order.
func (m *migration) steps() []string {
	var legacy, ingress, injected bool
	asked := map[*entry]bool{}
	for _, c := range m.candidates {
		if c.apiRule == nil {
			continue
		}
		legacy, ingress, injected = legacy || c.legacy, ingress || !c.legacy, injected || c.injected
		for _, e := range c.authorizers {
			asked[m.entries[e.key()]] = true
		}
	}
	steps := []string{"See that all workloads are in the mesh: API Gateway refuses an APIRule v2 whose Pods have no sidecar"}
	if injected {
		steps = append(steps, "Register the authorizer in the Istio CR before anything is applied: with an unknown one, every request is answered by 403")
	}
	steps = append(steps, m.registrations(asked)...)
	together := m.together()
	steps = append(steps, together...)
	steps = append(steps, "Apply this file")
	if legacy {
		steps = append(steps,
			"Leave the annotations gateway.kyma-project.io/original-version and gateway.kyma-project.io/migration-step to Kyma: "+
				"it goes through apply-istio-authorization and vs-switch-to-service, and an APIRule is migrated when migration-step is gone and original-version is v2",
			"Callers inside the cluster are refused from now on: allow them by the AuthorizationPolicy allow-internal of Kyma's guide, "+guide)
	}
	if len(together) > 0 {
		steps = append(steps, "Delete the temporary AuthorizationPolicies when all APIRules in front of their workloads are migrated")
	}
	if ingress {
		steps = append(steps, "Let the DNS names of the hosts point to Istio's ingress gateway, and delete the Ingresses")
	}
	return steps
}

// together says which APIRules need a temporary policy.
func (m *migration) together() []string {
	var steps []string
	order, workloads := m.workloads()
	for _, key := range order {
		if names := m.names(workloads[key]); len(names) > 1 {
			namespace, _, _ := strings.Cut(key, "/")
			steps = append(steps, fmt.Sprintf("%s are in front of one workload: apply the temporary AuthorizationPolicy allow-migration of Kyma's guide in the namespace %s, %s",
				bound.List(names), bound.Text(namespace), guide+"/01-90-migrate-multiple-apirules-targeting-same-workload.md"))
		}
	}
	return steps
}

// entry is an authorizer of the Istio CR for what an Ingress asked.
type entry struct {
	// asked is the auth-url; the rest is empty if it says too little.
	asked                 string
	name, service, prefix string
	port                  int
	headers               []string
	// inside is true for a Service of the cluster.
	inside bool
	// number is its place among all.
	number int
}

// What may stand in a command that is printed to be copied.
var (
	commandHost   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	commandPath   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]{1,63})*/?$`)
	commandHeader = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	commandName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// entryOf reads the auth-url of an Ingress.
func entryOf(g *ingress) entry {
	e := entry{asked: g.annotation("auth-url")}
	asked, err := url.Parse(e.asked)
	if err != nil {
		return e
	}
	service, inside := serviceHost(asked)
	port, err := strconv.ParseUint(cmp.Or(asked.Port(), map[string]string{"https": "443"}[asked.Scheme], "80"), 10, 16)
	name, _, _ := strings.Cut(service, ".")
	headers := headerNames(g)
	if err != nil || !commandHost.MatchString(service) || !commandPath.MatchString(asked.Path) || !commandName.MatchString(name) ||
		slices.ContainsFunc(headers, func(header string) bool { return !commandHeader.MatchString(header) }) {
		return e
	}
	e.name, e.service, e.port, e.headers, e.inside = name, service, int(port), headers, inside
	e.prefix = cmp.Or(asked.Path, "/") + "?original="
	if asked.Path == "/oauth2/auth" {
		// An oauth2-proxy answers 202 there, which Envoy takes for a refusal.
		e.name, e.prefix = "oauth2-proxy", "/verify?original="
	}
	return e
}

// serviceHost returns the host of an auth-url as the Istio CR wants it, and
// whether it is a Service of the cluster.
func serviceHost(asked *url.URL) (host string, inside bool) {
	host = strings.ToLower(asked.Hostname())
	switch {
	case strings.HasSuffix(host, ".svc.cluster.local"):
	case strings.HasSuffix(host, ".svc"):
		host += ".cluster.local"
	case asked.Scheme == "http" && strings.Count(host, ".") == 1:
		host += ".svc.cluster.local"
	default:
		return host, false
	}
	return host, true
}

// key is the same for what is registered once.
func (e entry) key() string {
	if e.service == "" {
		return e.asked
	}
	return fmt.Sprintf("%s:%d%s", e.service, e.port, e.prefix)
}

// readEntries gives every authorizer that Ingresses asked a name of its own.
func (m *migration) readEntries() {
	m.entries = map[string]*entry{}
	names := map[string]int{}
	for _, c := range m.candidates {
		for _, e := range c.authorizers {
			same := m.entries[e.key()]
			if same == nil {
				if names[e.name]++; names[e.name] > 1 && e.name != "" {
					e.name = fmt.Sprintf("%s-%d", e.name, names[e.name])
				}
				e.number = len(m.entries)
				m.entries[e.key()] = &e
				continue
			}
			for _, header := range e.headers {
				if !slices.Contains(same.headers, header) {
					same.headers = append(same.headers, header)
				}
			}
		}
	}
	if given := m.options.Authorizers; len(m.entries) == 1 && len(given) > 0 && commandName.MatchString(given[0]) {
		for _, only := range m.entries {
			only.name = given[0]
		}
	}
}

// named returns the authorizers that the APIRule has to name; none leaves the
// choice to the webhook. An Ingress is left to what it asked.
func (m *migration) named(c *candidate) []string {
	if len(m.options.Authorizers) > 0 {
		return m.options.Authorizers
	}
	var names []string
	for _, e := range c.authorizers {
		if name := m.entries[e.key()].name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) > 1 || len(names) == 1 && names[0] == "" && len(m.entries) > 1:
		c.note(c.source, Todo, "metadata.annotations", "the authorizer is not the only one that Ingresses asked, and the webhook chooses %q; name the right one in the annotation %s", m.options.Default, annotation.Authorizers)
		return nil
	case len(names) == 0 || names[0] == "" || names[0] == m.options.Default:
		return nil
	}
	return names
}

// registrations say how to register authorizers, each once.
func (m *migration) registrations(asked map[*entry]bool) []string {
	order := slices.SortedFunc(maps.Keys(asked), func(a, b *entry) int { return a.number - b.number })
	steps := make([]string, 0, len(order))
	for _, e := range order {
		steps = append(steps, e.registration())
	}
	return steps
}

// registration is a sentence with a command, which appends to the list in the
// Istio CR and touches nothing else of it.
func (e *entry) registration() string {
	byHand := "Register what answers " + quoted(e.asked) + " in the Istio CR, by its Service"
	if e.service == "" {
		return byHand
	}
	headers := map[string]any{"inCheck": map[string]any{"include": []any{"authorization", "cookie", "x-forwarded-for"}}}
	if len(e.headers) > 0 {
		headers["toUpstream"] = map[string]any{"onAllow": anys(e.headers)}
	}
	patch, err := json.Marshal([]any{map[string]any{"op": "add", "path": "/spec/config/authorizers/-", "value": map[string]any{
		"name": e.name, "service": e.service, "port": e.port, "pathPrefix": e.prefix, "headers": headers,
	}}})
	if err != nil {
		return byHand
	}
	outside := ""
	if !e.inside {
		outside = " (it is outside of the cluster, so Istio needs a ServiceEntry for it, and for https a DestinationRule)"
	}
	return fmt.Sprintf("Register it%s, where spec.config.authorizers is a list already: kubectl patch istio default -n kyma-system --type json -p '%s'", outside, patch)
}
