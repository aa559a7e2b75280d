// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// nginx is the prefix of the annotations of ingress-nginx.
const nginx = "nginx.ingress.kubernetes.io/"

// isIngress is true for an Ingress of any version that there was. Those before
// networking.k8s.io/v1 name the Service of a path in other fields.
func isIngress(object map[string]any) bool {
	version := text(object, "apiVersion")
	return text(object, "kind") == "Ingress" && (strings.HasPrefix(version, "networking.k8s.io/") || version == "extensions/v1beta1")
}

// ingress is one Ingress that is being read.
type ingress struct {
	source          int
	object          map[string]any
	namespace, name string
	annotations     map[string]any
	// used counts the names that were tried for its hosts.
	used int
	// restricts is true if annotations restrict access besides the login.
	restricts bool
}

func (g *ingress) annotation(name string) string { return text(g.annotations, nginx+name) }

// protects is true if somebody has to log in, one way or another.
func (g *ingress) protects() bool {
	return g.annotation("auth-url") != "" || g.annotation("auth-type") != "" || g.annotation("auth-tls-secret") != ""
}

// readIngresses makes a candidate of each host that an Ingress with an auth-url
// has. All Ingresses of the host in the namespace belong to it, because nginx
// merges them, and Kyma takes one APIRule for a host.
func (m *migration) readIngresses() {
	var all []*ingress
	hosts := map[string]*ingressHost{}
	for i, of := range m.objects {
		if !isIngress(of) {
			continue
		}
		metadata := object(of, "metadata")
		all = append(all, &ingress{source: i, object: of, namespace: namespaceOr(metadata, m.options.Namespace), name: text(metadata, "name"), annotations: object(metadata, "annotations")})
	}
	var order []*ingressHost
	for _, g := range all {
		for i, entry := range list(object(g.object, "spec"), "rules") {
			rule, _ := entry.(map[string]any)
			name := strings.ToLower(text(rule, "host"))
			key := g.namespace + "/" + name
			if hosts[key] == nil {
				hosts[key] = &ingressHost{migration: m, name: name, host: text(rule, "host")}
				order = append(order, hosts[key])
			}
			hosts[key].rules = append(hosts[key].rules, ingressRule{g, rule, fmt.Sprintf("spec.rules[%d]", i)})
		}
	}
	told, names := map[*ingress]bool{}, m.takenNames()
	for _, host := range order {
		if slices.ContainsFunc(host.rules, func(rule ingressRule) bool { return rule.ingress.annotation("auth-url") != "" }) {
			m.candidates = append(m.candidates, host.read(told, names))
		}
	}
	for _, g := range all {
		if !told[g] {
			m.candidates = append(m.candidates, m.passedOver(g))
		}
	}
}

// takenNames returns namespace/name of all APIRules.
func (m *migration) takenNames() map[string]bool {
	names := map[string]bool{}
	for _, c := range m.candidates {
		names[c.namespace+"/"+c.name] = true
	}
	return names
}

// passedOver says of an Ingress why it is of no concern.
func (m *migration) passedOver(g *ingress) *candidate {
	c := &candidate{source: g.source, namespace: g.namespace, name: g.name, done: true}
	if g.annotation("auth-url") != "" {
		c.done = false
		c.note(g.source, Refused, "spec.rules", "not migrated: an APIRule has a host, and no rule of the Ingress has one")
		return c
	}
	c.note(g.source, Told, "metadata.annotations", "there is no %sauth-url here, nor on an Ingress of the same host and namespace, so the Ingress is passed over", nginx)
	return c
}

// ingressRule is one rule of an Ingress.
type ingressRule struct {
	ingress *ingress
	rule    map[string]any
	at      string
}

// ingressHost reads what Ingresses say of one host.
type ingressHost struct {
	migration  *migration
	name, host string
	rules      []ingressRule
	candidate  *candidate
	// regex is true if nginx takes all paths of the host for regular expressions.
	regex bool
}

func (h *ingressHost) read(told map[*ingress]bool, names map[string]bool) *candidate {
	first := h.rules[0].ingress
	for _, rule := range h.rules {
		if rule.ingress.annotation("auth-url") != "" {
			first = rule.ingress
			break
		}
	}
	h.candidate = &candidate{
		namespace: first.namespace, name: first.name, host: h.name, gateway: h.migration.options.Gateway,
		source: first.source, spec: map[string]any{"hosts": []any{h.name}},
	}
	for names[first.namespace+"/"+h.candidate.name] {
		first.used++
		h.candidate.name = fmt.Sprintf("%s-%d", first.name, first.used)
	}
	names[first.namespace+"/"+h.candidate.name] = true
	h.candidate.metadata = metadataOf(first.object, h.candidate.name, func(key string) bool {
		return !annotation.Ours(key) && !slices.ContainsFunc([]string{nginx, "kubernetes.io/", "cert-manager.io/", "acme.cert-manager.io/"}, func(prefix string) bool {
			return strings.HasPrefix(key, prefix)
		})
	})
	if gateway := h.migration.options.Gateway; gateway != "" {
		h.candidate.spec["gateway"] = gateway
	}
	for _, rule := range h.rules {
		target := rule.ingress.annotation("rewrite-target")
		h.regex = h.regex || rule.ingress.annotation("use-regex") == "true" || target != ""
	}
	seen := map[*ingress]bool{}
	for _, rule := range h.rules {
		if !seen[rule.ingress] {
			seen[rule.ingress] = true
			h.readIngress(rule.ingress, told)
		}
		h.readRule(rule)
	}
	h.checkHost()
	slices.SortStableFunc(h.candidate.routes, func(a, b route) int { return slices.Compare(precedence(b), precedence(a)) })
	return h.candidate
}

// precedence is greater for a route that is tried earlier: nginx tries exact paths
// first and then the longest prefix, or the longest regular expression. Of two
// Ingresses with the same path the older one counts, which cannot be known here, so
// that it is the one that protects.
func precedence(r route) []int {
	number := map[bool]int{true: 1}
	return []int{number[r.exact], len(r.written), number[r.credential != anybody]}
}

func (h *ingressHost) checkHost() {
	switch first := h.rules[0]; {
	case h.name == "":
		h.candidate.note(first.ingress.source, Refused, first.at+".host", "not migrated: an APIRule needs a host, and the rule has none")
	case placeholder(h.host):
		h.candidate.spec["hosts"] = []any{h.host}
		h.candidate.note(first.ingress.source, Todo, first.at+".host", "%s has a placeholder, which is kept", quoted(h.host))
	case !validHost.MatchString(h.name):
		h.candidate.note(first.ingress.source, Refused, first.at+".host", "not migrated: v2 does not take the host %s", quoted(h.host))
	}
}

// readIngress notes what the whole Ingress says, with the first of its hosts.
func (h *ingressHost) readIngress(g *ingress, told map[*ingress]bool) {
	first := !told[g]
	told[g] = true
	if first {
		g.restricts = h.tellRestrictions(g)
	}
	if g.restricts && !h.migration.options.AcceptMoreOpen {
		h.candidate.note(g.source, Refused, "metadata.annotations", "not migrated: the host %s would be more open than it was; see that something else restricts it, and give --accept-more-open", quoted(h.name))
	}
	if !first {
		return
	}
	h.tellAnnotations(g)
	if g.annotation("auth-url") != "" {
		h.candidate.authorizers = append(h.candidate.authorizers, entryOf(g))
	}
	spec := object(g.object, "spec")
	for _, key := range []string{"defaultBackend", "backend"} {
		if spec[key] != nil {
			h.candidate.note(g.source, Lost, "spec."+key, "an APIRule has a host, so the default backend is left out")
		}
	}
	if len(list(spec, "tls")) > 0 {
		h.candidate.note(g.source, Todo, "spec.tls", "certificates belong to the Gateway %s; see that it serves the hosts", bound.Text(h.migration.options.Gateway))
	}
}

// readRule makes routes of the paths of one rule. The traffic of a canary goes to
// the stable Ingress.
func (h *ingressHost) readRule(from ingressRule) {
	if from.ingress.annotation("canary") == "true" {
		h.candidate.note(from.ingress.source, Lost, from.at, "the Ingress is a canary, which v2 does not know: all requests go to the other Ingress of the host")
		return
	}
	for i, entry := range list(object(from.rule, "http"), "paths") {
		path, _ := entry.(map[string]any)
		at := fmt.Sprintf("%s.http.paths[%d]", from.at, i)
		h.candidate.routes = append(h.candidate.routes, h.route(from.ingress, path, at))
	}
}

func (h *ingressHost) route(g *ingress, path map[string]any, at string) route {
	read := route{
		at: at, object: h.migration.name(g.source), source: g.source, written: cmp.Or(text(path, "path"), "/"), methods: allMethods(),
		credential: anybody, content: map[string]any{},
	}
	if g.protects() {
		read.credential = authorizer
	}
	h.readPath(&read, text(path, "pathType"))
	name, port, problem := h.backend(g, object(path, "backend"))
	if problem != "" {
		read.paths, read.problem, read.problemAt = nil, problem, at+".backend"
	}
	read.service = serviceKey(g.namespace, name)
	read.content["service"] = map[string]any{"name": name, "port": port}
	return read
}

// readPath says what nginx matches (https://kubernetes.github.io/ingress-nginx,
// user-guide/ingress-path-matching): with regular expressions, which one Ingress
// turns on for all of a host, every path is the beginning of one that ignores
// case; otherwise a path is exact, a prefix of whole segments, or, if the Ingress
// leaves it to the controller, a prefix of characters.
func (h *ingressHost) readPath(read *route, kind string) {
	written := read.written
	switch {
	case h.regex:
		read.pattern = "(?i)(?:" + written + ").*"
		read.paths, _ = formOf("(?:" + written + ").*")
	case kind == "Exact":
		read.exact = true
		read.pattern = regexp.QuoteMeta(written)
		read.paths, _ = formOf(read.pattern)
	case kind == "Prefix":
		stem := regexp.QuoteMeta(strings.TrimRight(written, "/"))
		read.pattern = stem + "(?:/.*)?"
		if stem == "" {
			read.pattern = "/.*"
		}
		read.paths, _ = formOf(read.pattern)
	default:
		var narrower bool
		read.pattern = regexp.QuoteMeta(written) + ".*"
		if read.paths, narrower = formOf(read.pattern); narrower {
			h.candidate.note(read.source, Todo, read.at+".path", "%s was the beginning of a path; it became %s, which match whole segments only", quoted(written), quotedPaths(read.paths))
		}
	}
}

// backend returns the Service of a path and its port.
func (h *ingressHost) backend(g *ingress, backend map[string]any) (name string, port int64, problem string) {
	service := object(backend, "service")
	named, portNamed := text(service, "name"), text(object(service, "port"), "name")
	port, known := object(service, "port")["number"].(int64)
	if old := text(backend, "serviceName"); old != "" {
		named, portNamed = old, text(backend, "servicePort")
		port, known = backend["servicePort"].(int64)
		if number, err := strconv.ParseInt(portNamed, 10, 32); err == nil {
			port, known = number, true
		}
	}
	if named == "" {
		return "", 0, "the backend is not a Service"
	}
	if !known {
		port, known = h.migration.services[serviceKey(g.namespace, named)].ports[portNamed]
	}
	if !known {
		return named, 0, fmt.Sprintf("the number of the port %s is not known; give the Service %s in the same input, or its namespace by --namespace", quoted(portNamed), bound.Text(serviceKey(g.namespace, named)))
	}
	return named, port, ""
}
