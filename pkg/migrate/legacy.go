// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// What Kyma's conversion writes to an APIRule (Kyma api-gateway 3.10,
// apis/gateway/v1beta1/apirule_conversion.go).
const (
	annotationOriginalVersion = apirule.Group + "/original-version"
	annotationLegacySpec      = apirule.Group + "/v1beta1-spec"
)

// readAPIRules makes a candidate of each APIRule.
func (m *migration) readAPIRules() {
	for i, of := range m.objects {
		if !isAPIRule(of) {
			continue
		}
		r := &legacyReader{source: i, namespace: namespaceOr(object(of, "metadata"), m.options.Namespace)}
		r.candidate = &candidate{
			source: i, legacy: true, namespace: r.namespace, name: text(object(of, "metadata"), "name"), spec: map[string]any{},
			metadata: metadataOf(of, text(object(of, "metadata"), "name"), func(key string) bool { return !strings.HasPrefix(key, apirule.Group+"/") }),
		}
		m.candidates = append(m.candidates, r.candidate)
		spec := r.legacySpec(of)
		if spec == nil {
			continue
		}
		r.read(spec)
		if owner := apirule.Parse(of, "").Controller; owner != nil {
			r.note(Todo, "metadata.ownerReferences", "%s %s writes the APIRule; see that it writes v2 from now on", quoted(owner.Kind), quoted(owner.Name))
		}
	}
}

// legacyReader reads one APIRule v1beta1.
type legacyReader struct {
	source    int
	namespace string
	candidate *candidate
	// jwts are the authentications so far, by issuer and key set.
	jwts map[string]string
}

func (r *legacyReader) note(kind Kind, path, format string, args ...any) {
	r.candidate.note(r.source, kind, path, format, args...)
}

// legacySpec returns the spec as v1beta1 has it, nil if the APIRule is v2 already
// or its spec is not there. The API server shows objects that were written as
// v1beta1 in v2, without rules, and keeps the whole spec in an annotation; in
// v1beta1 it shows objects that were written as v2, without a spec.
func (r *legacyReader) legacySpec(of map[string]any) map[string]any {
	annotations := object(object(of, "metadata"), "annotations")
	original := text(annotations, annotationOriginalVersion)
	_, version, _ := strings.Cut(text(of, "apiVersion"), "/")
	legacyVersion := version == "v1beta1" || version == "v1alpha1"
	if legacyVersion && (original == "" || original == "v1beta1") {
		return object(of, "spec")
	}
	if original != "v1beta1" {
		r.candidate.done, r.candidate.migrated = true, true
		for _, host := range texts(object(of, "spec"), "hosts") {
			r.candidate.host = strings.ToLower(host)
		}
		r.candidate.gateway = text(object(of, "spec"), "gateway")
		r.note(Told, "apiVersion", "is v2 already; there is nothing to migrate")
		return nil
	}
	field := fmt.Sprintf("metadata.annotations[%s]", annotationLegacySpec)
	var spec map[string]any
	if err := json.Unmarshal([]byte(text(annotations, annotationLegacySpec)), &spec); err != nil || spec == nil {
		r.note(Refused, field, "not migrated: it was written as v1beta1, and the annotation that has its rules is missing or is not JSON; "+
			"get it by \"kubectl get apirules.v1beta1.gateway.kyma-project.io -o yaml\"")
		return nil
	}
	return spec
}

// read makes routes and a spec of v2, as Kyma's migration guides say (Kyma
// api-gateway 3.10, docs/user/apirule-migration).
func (r *legacyReader) read(old map[string]any) {
	spec := r.candidate.spec
	service := object(old, "service")
	r.readHost(old, service)
	r.readGateway(old)
	if kept := r.service(service, "spec.service"); kept != nil {
		spec["service"] = kept
	}
	if timeout := old["timeout"]; timeout != nil {
		spec["timeout"] = timeout
	}
	r.unknown(old, "spec", "host", "gateway", "service", "timeout", "corsPolicy", "rules")
	rules := list(old, "rules")
	if len(rules) == 0 {
		r.note(Refused, "spec.rules", "not migrated: there are no rules")
	}
	for i, entry := range rules {
		rule, _ := entry.(map[string]any)
		r.candidate.routes = append(r.candidate.routes, r.route(rule, service, fmt.Sprintf("spec.rules[%d]", i)))
	}
	r.readCORS(old)
}

// readHost takes the host from where v1beta1 has it, or v1alpha1.
func (r *legacyReader) readHost(old, service map[string]any) {
	host, field := text(old, "host"), "spec.host"
	if host == "" {
		host, field = text(service, "host"), "spec.service.host"
	}
	if host == "" {
		r.note(Refused, "spec.host", "not migrated: there is no host")
		return
	}
	r.candidate.host = strings.ToLower(host)
	switch lower := strings.ToLower(host); {
	case placeholder(host):
		r.note(Todo, field, "%s has a placeholder, which is kept; v2 wants a host in lower case in its place", quoted(host))
	case validHost.MatchString(lower):
		host = lower
	default:
		r.note(Todo, field, "v2 does not take the host %s; write a short or a full host name", quoted(host))
	}
	r.candidate.spec["hosts"] = []any{host}
}

// placeholder is true for a text that something is put into before it is applied:
// ${NAME}, $(NAME), {{ .Values.name }}, <name>, %name%.
func placeholder(text string) bool {
	return strings.ContainsAny(text, "${}<>%")
}

// readGateway turns name.namespace, perhaps with ".svc.cluster.local" or a part of
// it, and a bare name, into namespace/name (Kyma api-gateway,
// internal/gatewaytranslator).
func (r *legacyReader) readGateway(old map[string]any) {
	gateway := text(old, "gateway")
	parts := strings.Split(gateway, ".")
	switch {
	case gateway == "":
		r.note(Todo, "spec.gateway", "there is no Gateway, which v2 needs as namespace/name")
		return
	case strings.Contains(gateway, "/") || placeholder(gateway):
	case len(parts) == 1:
		gateway = r.namespace + "/" + gateway
		if r.candidate.metadata["namespace"] == nil {
			r.note(Todo, "spec.gateway", "the APIRule names no namespace, so the Gateway became %s; see that it is there", quoted(gateway))
		}
	case len(parts) <= 5 && strings.HasPrefix("svc.cluster.local", strings.Join(parts[2:], ".")):
		gateway = parts[1] + "/" + parts[0]
	default:
		r.note(Todo, "spec.gateway", "v2 does not take the Gateway %s; write namespace/name", quoted(gateway))
	}
	r.candidate.gateway = gateway
	r.candidate.spec["gateway"] = gateway
}

// service returns what v2 knows of a Service.
func (r *legacyReader) service(old map[string]any, field string) map[string]any {
	if old == nil {
		return nil
	}
	kept := map[string]any{}
	for _, key := range []string{"name", "namespace", "port", "external"} {
		if value := old[key]; value != nil {
			kept[key] = value
		}
	}
	r.unknown(old, field, "name", "namespace", "port", "external", "host")
	return kept
}

// route reads one rule.
func (r *legacyReader) route(old, specService map[string]any, at string) route {
	read := route{at: at, source: r.source, content: map[string]any{}}
	read.methods = r.methods(old, at)
	service := specService
	if own := object(old, "service"); own != nil {
		service = own
		read.content["service"] = r.service(own, at+".service")
	}
	if text(service, "name") == "" {
		r.note(Todo, at+".service", "neither the rule nor the APIRule names a Service, and v2 needs one")
	}
	read.service = serviceKey(namespaceOr(service, namespaceOr(specService, r.namespace)), text(service, "name"))
	if timeout := old["timeout"]; timeout != nil {
		read.content["timeout"] = timeout
	}
	r.unknown(old, at, "path", "methods", "service", "timeout", "mutators", "accessStrategies")
	if request := r.request(old, at); len(request) > 0 {
		read.content["request"] = request
	}
	r.readAccess(&read, old)
	r.readPath(&read, old)
	return read
}

// readPath reads the regular expression of a path. Kyma takes "/*" for all paths
// with its setting "jwtHandler: istio", and else for that expression, which matches
// "/" (Kyma api-gateway, processors/istio and processors/ory,
// virtual_service_processor.go). Here it is everything where a rule protects, and
// the expression where it is open. In that setting only routes with allow are taken
// for all methods.
func (r *legacyReader) readPath(read *route, old map[string]any) {
	path := text(old, "path")
	read.written, read.pattern, read.taking = path, path, path
	if path == "/*" {
		if read.credential != anybody {
			read.pattern = "/.*"
		}
		if slices.ContainsFunc(list(old, "accessStrategies"), isAllow) {
			read.taking = "/.*"
		}
	}
	var narrower bool
	read.paths, narrower = formOf(read.pattern)
	read.takingPaths, _ = formOf(read.taking)
	switch {
	case len(read.paths) == 0:
	case narrower:
		r.note(Lost, read.at+".path", "%s became %s, which match whole segments only", quoted(path), quotedPaths(read.paths))
	case strings.HasSuffix(read.pattern, "/*"):
		r.note(Lost, read.at+".path", "%s is a regular expression in v1beta1, which matches nothing below; it became %s; write \"/*\" or {**} if more is meant", quoted(path), quotedPaths(read.paths))
	}
}

func isAllow(entry any) bool {
	strategy, _ := entry.(map[string]any)
	return text(strategy, "handler") == "allow"
}

func quotedPaths(paths []string) string {
	shown := make([]string, 0, len(paths))
	for _, path := range paths {
		shown = append(shown, quoted(path))
	}
	return strings.Join(shown, " and ")
}

// knownMethods are those that the CRD of APIRule knows, in its order.
func knownMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
}

func (r *legacyReader) methods(old map[string]any, at string) []string {
	var methods []string
	for i, entry := range list(old, "methods") {
		method, _ := entry.(string)
		switch {
		case slices.Contains(methods, method):
		case slices.Contains(knownMethods(), method):
			methods = append(methods, method)
		default:
			r.note(Lost, fmt.Sprintf("%s.methods[%d]", at, i), "v2 does not know the method %s; it is left out", quoted(fmt.Sprint(entry)))
		}
	}
	return methods
}

// readAccess reads who gets in. Kyma takes the strategies of a rule together: it
// leads past Oathkeeper only if all of them do (Kyma api-gateway,
// internal/processing/helpers.go). Here the one that protects counts.
func (r *legacyReader) readAccess(read *route, old map[string]any) {
	at := read.at + ".accessStrategies"
	strategies := list(old, "accessStrategies")
	if len(strategies) == 0 {
		r.note(Lost, at, "the rule has no access strategy, which v1beta1 refuses; the authorizer decides")
		read.credential = authorizer
		return
	}
	if len(strategies) > 1 {
		r.note(Lost, at, "a rule of v2 has one access strategy; the first that protects is kept")
	}
	chosen, rank := 0, -1
	for i, entry := range strategies {
		strategy, _ := entry.(map[string]any)
		handler := text(strategy, "handler")
		read.oathkeeper = read.oathkeeper || (handler != "allow" && handler != "no_auth")
		if strictness(handler) > rank {
			chosen, rank = i, strictness(handler)
		}
	}
	strategy, _ := strategies[chosen].(map[string]any)
	r.readHandler(read, strategy, fmt.Sprintf("%s[%d]", at, chosen))
}

func (r *legacyReader) readHandler(read *route, strategy map[string]any, at string) {
	handler, config := text(strategy, "handler"), object(strategy, "config")
	switch handler {
	case "noop", "no_auth":
		read.credential = anybody
	case "allow":
		read.credential = anybody
		if missing := missingMethods(read.methods); len(missing) > 0 {
			r.note(Lost, read.at+".methods", "the handler allow let every method in; v2 refuses those that are not listed: %s", strings.Join(missing, ", "))
		}
	case "unauthorized":
		read.credential = nobody
	case "jwt":
		r.readJWT(read, config, at+".config")
	case "oauth2_introspection":
		read.credential = authorizer
		r.unknown(config, at+".config", "required_scope")
		if scopes := texts(config, "required_scope"); len(scopes) > 0 {
			r.note(Lost, at+".config.required_scope",
				"scopes %s are not checked by an oauth2-proxy; check them in the application, or add extAuth.restrictions with requiredScopes", bound.List(scopes))
		}
	default:
		read.credential = authorizer
		r.note(Lost, at, "the handler %s has no form in v2; the authorizer decides instead", quoted(handler))
	}
}

// strictness orders handlers by how many they let in.
func strictness(handler string) int {
	switch handler {
	case "noop", "allow", "no_auth":
		return 0
	case "unauthorized":
		return 2
	}
	return 1
}

// missingMethods returns the methods of an application that are not listed.
func missingMethods(listed []string) []string {
	return slices.DeleteFunc(allMethods(), func(method string) bool { return slices.Contains(listed, method) })
}

// allMethods are those that lead to an application; TRACE and CONNECT, which
// APIRules know too, are of no use to one.
func allMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
}

// readCORS carries over a CORS policy, or says that the one of v1beta1 is gone
// (Kyma api-gateway,
// docs/user/custom-resources/apirule/04-70-changes-in-apirule-v2.md).
func (r *legacyReader) readCORS(old map[string]any) {
	policy := object(old, "corsPolicy")
	if policy == nil {
		r.note(Lost, "spec.corsPolicy", `the default CORS policy of v1beta1 is gone: it was {allowOrigins: [{regex: ".*"}], allowMethods: [GET, POST, PUT, DELETE, PATCH], allowHeaders: [Authorization, Content-Type, "*"]}; `+
			"if browsers call from other origins, write one with the origins you know, and add OPTIONS to the methods")
		return
	}
	cors := maps.Clone(policy)
	r.candidate.spec["corsPolicy"] = cors
	if age, isText := policy["maxAge"].(string); isText {
		duration, err := time.ParseDuration(age)
		if err == nil && duration >= time.Second {
			cors["maxAge"] = int64(duration / time.Second)
		} else {
			delete(cors, "maxAge")
			r.note(Lost, "spec.corsPolicy.maxAge", "%s is not a duration of a second or more, so it is left out", quoted(age))
		}
	}
	var without []string
	for _, route := range r.candidate.routes {
		// Kyma restricted the methods of routes past Oathkeeper only, see readAccess.
		if route.oathkeeper && route.credential != nobody && !slices.Contains(route.methods, "OPTIONS") {
			without = append(without, route.at)
		}
	}
	if len(without) > 0 {
		r.note(Lost, "spec.corsPolicy", "browsers send a preflight request with OPTIONS, which v2 serves only where it is listed; add OPTIONS to the methods of %s", bound.List(without))
	}
}

// unknown notes the fields that are not carried over.
func (r *legacyReader) unknown(old map[string]any, path string, known ...string) {
	for _, key := range sortedKeys(old) {
		if !slices.Contains(known, key) && old[key] != nil {
			r.note(Lost, path+"."+bound.Text(key), "is not carried over")
		}
	}
}
