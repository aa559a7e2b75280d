// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// The model says once more, as naively as it can be said, what this project
// promises about annotations, injection and findings, and TestModel compares it
// with the code in every small world there is. It knows the tables by heart: it
// parses nothing, and what an annotation means is written next to it by hand.

// voice is what the annotations of one object say.
type voice struct {
	annotations map[string]string
	inject      string   // "", "yes", "no"
	authorizers []string // nil: says nothing
	replace     string   // "", "noAuth", "jwt", "both"
	broken      []string // the keys that nobody can read, sorted
}

func voices() []voice {
	const (
		inject, authorizers, replace = "extauth-guard.io/inject", "extauth-guard.io/authorizers", "extauth-guard.io/replace"
		typo                         = "extauth-guard.io/injet"
	)
	return []voice{
		{},
		{annotations: map[string]string{inject: "true"}, inject: "yes"},
		{annotations: map[string]string{inject: "false"}, inject: "no"},
		{annotations: map[string]string{inject: "ja"}, broken: []string{inject}},
		{annotations: map[string]string{inject: "true", replace: "noAuth"}, inject: "yes", replace: "noAuth"},
		{annotations: map[string]string{authorizers: "corp"}, inject: "yes", authorizers: []string{"corp"}},
		{annotations: map[string]string{replace: "jwt"}, replace: "jwt"},
		{annotations: map[string]string{typo: "true"}, broken: []string{typo}},
		{annotations: map[string]string{inject: "false", authorizers: "corp"}, inject: "no", authorizers: []string{"corp"}},
		{annotations: map[string]string{replace: "noAuth,jwt"}, replace: "both"},
		{annotations: map[string]string{authorizers: "ouath2-proxy", replace: "jwt"}, inject: "yes", authorizers: []string{"ouath2-proxy"}, replace: "jwt"},
		{annotations: map[string]string{authorizers: "corp, oauth2-proxy"}, inject: "yes", authorizers: []string{"corp", "oauth2-proxy"}},
		{annotations: map[string]string{inject: "true", authorizers: "Corp", replace: "all"}, broken: []string{authorizers, replace}},
	}
}

// shape is what a rule says about access.
type shape struct {
	rule        map[string]any
	kind        string // "open", "empty", "extAuth", "noAuth", "jwt", "malformed"
	authorizers []string
}

func shapes() []shape {
	jwt := map[string]any{"authentications": []any{map[string]any{"issuer": "i", "n": int64(12345678901234567)}}}
	extAuth := func(names ...any) map[string]any { return map[string]any{"authorizers": names, "restrictions": jwt} }
	return []shape{
		{map[string]any{}, "open", nil},
		{map[string]any{"noAuth": true}, "noAuth", nil},
		{map[string]any{"jwt": jwt}, "jwt", nil},
		{map[string]any{"extAuth": extAuth("oauth2-proxy")}, "extAuth", []string{"oauth2-proxy"}},
		{map[string]any{"extAuth": extAuth("crop")}, "extAuth", []string{"crop"}},
		{map[string]any{"extAuth": map[string]any{"restrictions": jwt}}, "empty", nil},
		{map[string]any{"noAuth": true, "jwt": jwt}, "malformed", nil},
		{map[string]any{"noAuth": false}, "open", nil},
		{map[string]any{"extAuth": extAuth("corp", "oauth2-proxy"), "noAuth": false}, "extAuth", []string{"corp", "oauth2-proxy"}},
		{map[string]any{"extAuth": map[string]any{"authorizers": []any{}}}, "empty", nil},
		{map[string]any{"extAuth": "oauth2-proxy"}, "malformed", nil},
		{map[string]any{"noAuth": nil, "jwt": jwt}, "jwt", nil},
	}
}

// mesh is what is known about authorizers.
type mesh struct {
	known bool
	names []string
	front string // the name of the Service in shop that an authorizer is behind
	weak  bool   // the configuration admits what cannot be known

	registry policy.Registry // the same, for the code
}

func meshes() []mesh {
	all := []mesh{
		{known: true, names: []string{"corp", "oauth2-proxy"}},
		{},
		{known: true, names: []string{"oauth2-proxy"}, front: "cart"},
		{known: true},
		{weak: true},
	}
	for i := range all {
		all[i].registry = all[i].asRegistry()
	}
	return all
}

func (m mesh) asRegistry() policy.Registry {
	if !m.known {
		return policy.UnknownRegistryBecause("nobody looked")
	}
	view := istio.View{Namespace: "kyma-system", Name: "default"}
	for i, name := range m.names {
		authorizer := istio.Authorizer{Index: i, Name: name, Service: name + ".auth.svc.cluster.local", Port: 80, PathPrefix: "/v"}
		if m.front != "" {
			authorizer.Service = m.front + ".shop.svc.cluster.local"
		}
		view.Authorizers = append(view.Authorizers, authorizer)
	}
	return policy.NewRegistry(view)
}

// state is what else there is to an APIRule.
type state struct {
	metadata map[string]any
	excluded bool
	bare     bool // without rules
	skipped  policy.Reason
}

func states() []state {
	owner := func(apiVersion, kind string) map[string]any {
		return map[string]any{"ownerReferences": []any{map[string]any{"apiVersion": apiVersion, "kind": kind, "name": "o", "controller": true}}}
	}
	return []state{
		{},
		{metadata: owner("eventing.kyma-project.io/v1alpha2", "Subscription"), skipped: policy.ControllerOwned},
		{metadata: owner("v1", "Service")},
		{metadata: map[string]any{"deletionTimestamp": "2026-01-01T00:00:00Z"}, skipped: policy.Deleting},
		{excluded: true, skipped: policy.NamespaceExcluded},
		{bare: true, metadata: map[string]any{"annotations": map[string]any{"gateway.kyma-project.io/original-version": "v1beta1"}}, skipped: policy.LegacyObject},
		{metadata: map[string]any{"annotations": map[string]any{"gateway.kyma-project.io/original-version": "v1beta1"}}},
		{bare: true},
	}
}

// route is one rule of an APIRule in a world.
type route struct {
	shape   shape
	service string // its Service in shop
	own     bool   // named by the rule itself, not by the spec
	foreign bool   // the Service is in bank, which belongs to others
}

// object is the Service as it is named in sentences.
func (r route) object() string {
	if r.foreign {
		return "Service bank/" + r.service
	}
	return "Service shop/" + r.service
}

// world is one small world with one APIRule, as it would be stored if nothing
// were injected.
type world struct {
	routes    []route
	apirule   voice
	services  map[string]voice
	namespace voice
	elsewhere voice // what the namespace bank says
	mesh      mesh
	state     state
	rulings   []ruling // sorted by name
}

// verdict is what is expected of one finding; the sentence is tested elsewhere.
type verdict struct {
	code     policy.Code
	severity policy.Severity
	field    string
	value    string // what is compared between before and after
}

// treated is what is expected to become of one rule.
type treated struct {
	reason      policy.Reason
	from        string
	authorizers []string
	rule        map[string]any
}

// intended resolves each key on its own, nearest first.
type intended struct {
	from                        string
	inject                      string
	authorizers                 []string
	replacesNoAuth, replacesJWT bool
	unreadable                  bool
	required                    bool // by the owner of a Service in another namespace
}

func (w world) intended(i int, r route) intended {
	result := intended{}
	replace := ""
	type level struct {
		from  string
		says  voice
		owner bool // of the Service, or a policy: whose word on replacing always counts
	}
	last, wants := w.lastLevel(i)
	own, rest := level{"APIRule", w.apirule, false}, []level{{"Namespace", w.namespace, false}, {last, wants, true}}
	service := level{r.object(), w.services[r.service], r.foreign}
	levels := append([]level{own, service}, rest...)
	if r.foreign {
		owner := level{"Namespace bank", w.elsewhere, true}
		asks := service.says.inject
		if asks == "" {
			asks = owner.says.inject
		}
		result.required = asks == "yes"
		levels = append([]level{own, service, owner}, rest...)
		if result.required {
			levels = append([]level{service, owner, own}, rest...)
		}
	}
	for _, near := range levels {
		if len(near.says.broken) > 0 {
			return intended{unreadable: true}
		}
		if result.inject == "" && near.says.inject != "" {
			result.inject, result.from = near.says.inject, near.from
		}
		if result.authorizers == nil {
			result.authorizers = near.says.authorizers
		}
		if replace == "" && (!result.required || near.owner) {
			replace = near.says.replace
		}
	}
	if result.authorizers == nil {
		result.authorizers = []string{"oauth2-proxy"}
	}
	result.replacesNoAuth = replace == "noAuth" || replace == "both"
	result.replacesJWT = replace == "jwt" || replace == "both"
	return result
}

// covered is the table of strategies: what injection does to a rule that is to
// be injected.
func covered(kind string, wish intended) bool {
	return kind == "open" || kind == "empty" || (kind == "noAuth" && wish.replacesNoAuth) || (kind == "jwt" && wish.replacesJWT)
}

func (w world) treat(i int, r route) treated {
	wish := w.intended(i, r)
	stays := treated{rule: r.shape.rule, from: wish.from}
	switch {
	case r.service == w.mesh.front:
		return treated{rule: r.shape.rule, reason: policy.AuthorizerFrontend}
	case wish.unreadable:
		stays.reason = policy.AnnotationInvalid
	case r.shape.kind == "malformed":
		stays.reason = policy.MalformedRule
	case wish.inject != "yes":
		stays.reason = policy.NotRequested
	case r.shape.kind == "noAuth" && !wish.replacesNoAuth:
		stays.reason = policy.LeftOpen
	case !covered(r.shape.kind, wish):
		stays.reason = policy.AlreadyProtected
	default:
		return treated{reason: policy.Injected, from: wish.from, authorizers: wish.authorizers, rule: injected(r.shape, wish.authorizers)}
	}
	return stays
}

func injected(s shape, authorizers []string) map[string]any {
	rule := k8sruntime.DeepCopyJSON(s.rule)
	extAuth, _ := rule["extAuth"].(map[string]any)
	if extAuth == nil {
		extAuth = map[string]any{}
	}
	names := make([]any, 0, len(authorizers))
	for _, name := range authorizers {
		names = append(names, name)
	}
	extAuth["authorizers"] = names
	rule["extAuth"] = extAuth
	switch s.kind {
	case "noAuth":
		delete(rule, "noAuth")
	case "jwt":
		extAuth["restrictions"] = rule["jwt"]
		delete(rule, "jwt")
	}
	return rule
}

// faults are the annotations that nobody can read, each where an author of the
// APIRule can see it. They deny, unless every rule that they could concern is in
// front of an authorizer.
func (w world) faults() []verdict {
	onlyFronts := len(w.routes) > 0
	for _, r := range w.routes {
		onlyFronts = onlyFronts && r.service == w.mesh.front
	}
	severity := func(fronts bool) policy.Severity {
		if fronts {
			return policy.Warn
		}
		return policy.Deny
	}
	var found []verdict
	for _, key := range w.apirule.broken {
		found = append(found, verdict{policy.InvalidAnnotation, severity(onlyFronts), "metadata.annotations[" + key + "]", "APIRule " + key + w.apirule.annotations[key]})
	}
	seen := map[string]bool{}
	for i, r := range w.routes {
		if seen[r.service] {
			continue
		}
		seen[r.service] = true
		field := "spec.service"
		if r.own {
			field = fmt.Sprintf("spec.rules[%d].service", i)
		}
		for _, key := range w.services[r.service].broken {
			found = append(found, verdict{policy.InvalidAnnotation, severity(r.service == w.mesh.front), field, r.service + key + w.services[r.service].annotations[key]})
		}
		if r.foreign && !seen["namespace bank"] {
			seen["namespace bank"] = true
			for _, key := range w.elsewhere.broken {
				found = append(found, verdict{policy.InvalidAnnotation, policy.Deny, field, "Namespace bank" + key + w.elsewhere.annotations[key]})
			}
		}
	}
	for _, key := range w.namespace.broken {
		found = append(found, verdict{policy.InvalidAnnotation, severity(onlyFronts), "metadata.namespace", "Namespace " + key + w.namespace.annotations[key]})
	}
	return found
}

// findings is the table of findings, as far as it speaks of annotations, rules
// and authorizers.
func (w world) findings() []verdict {
	if w.state.skipped != "" && w.state.skipped != policy.ControllerOwned {
		return nil
	}
	found := w.faults()
	for i, r := range w.routes {
		of := w.findingsOf(i, r)
		if r.service == w.mesh.front {
			of = atMostWarnings(of)
		}
		for _, one := range of {
			// What rules share is said once.
			if one.code != policy.OptOutForbidden || !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	if w.state.skipped == policy.ControllerOwned {
		found = atMostWarnings(found)
	}
	return found
}

func (w world) findingsOf(i int, r route) []verdict {
	var found []verdict
	rule := fmt.Sprintf("spec.rules[%d]", i)
	for j, name := range r.shape.authorizers {
		field := fmt.Sprintf("%s.extAuth.authorizers[%d]", rule, j)
		switch {
		case !w.mesh.known && w.mesh.weak:
			found = append(found, verdict{policy.RegistryUnknown, policy.Warn, field, name})
		case !w.mesh.known:
			found = append(found, verdict{policy.RegistryUnknown, policy.Deny, field, name})
		case !slices.Contains(w.mesh.names, name):
			found = append(found, verdict{policy.AuthorizerNotRegistered, policy.Deny, field, name})
		}
	}
	found = append(found, w.ruled(i, r)...)
	wish := w.intended(i, r)
	if wish.unreadable || wish.inject != "yes" || r.service == w.mesh.front {
		return found
	}
	protected := r.shape.kind == "jwt" || r.shape.kind == "extAuth"
	switch {
	case wish.required && !covered(r.shape.kind, wish):
		if r.shape.kind == "noAuth" || r.shape.kind == "jwt" {
			found = append(found, verdict{policy.ForeignServiceOpen, policy.Deny, rule, wish.from + strategy(r)})
		}
	case !protected && covered(r.shape.kind, wish):
		found = append(found, verdict{policy.InjectionMissing, policy.Deny, rule, fmt.Sprint(path(i), strategy(r), r.service)})
	case r.shape.kind == "noAuth":
		found = append(found, verdict{policy.RuleLeftOpen, policy.Warn, rule + ".noAuth", path(i)})
	}
	return found
}

// conflicts tells which rules bring a second authorizer to a workload that has
// one, from within the APIRule.
func (w world) conflicts() []int {
	if w.state.skipped != "" && w.state.skipped != policy.ControllerOwned {
		return nil
	}
	var found []int
	for i, r := range w.routes {
		if len(r.shape.authorizers) == 0 {
			continue
		}
		names := slices.Clone(r.shape.authorizers)
		for _, earlier := range w.routes[:i] {
			if earlier.service == r.service {
				names = append(names, earlier.shape.authorizers...)
			}
		}
		slices.Sort(names)
		if len(slices.Compact(names)) > 1 {
			found = append(found, i)
		}
	}
	return found
}

func atMostWarnings(found []verdict) []verdict {
	for i := range found {
		if found[i].severity == policy.Deny {
			found[i].severity = policy.Warn
		}
	}
	return found
}

// introduced is the rule of updates: what was wrong before, by code and value, is
// a warning after.
func introduced(before, after []verdict) []verdict {
	before = slices.Clone(before)
	var left []verdict
	for _, one := range after {
		at := slices.IndexFunc(before, func(old verdict) bool { return old.code == one.code && old.value == one.value })
		if at >= 0 {
			before = slices.Delete(before, at, at+1)
			one = atMostWarnings([]verdict{one})[0]
		}
		left = append(left, one)
	}
	return left
}

func path(i int) string { return "/" + strconv.Itoa(i) }

// object is the APIRule of the world.
func (w world) object() map[string]any {
	metadata := map[string]any{"name": "a", "namespace": "shop"}
	maps.Copy(metadata, w.state.metadata)
	if len(w.apirule.annotations) > 0 {
		annotations := map[string]any{}
		if others, ok := metadata["annotations"].(map[string]any); ok {
			maps.Copy(annotations, others)
		}
		for key, value := range w.apirule.annotations {
			annotations[key] = value
		}
		metadata["annotations"] = annotations
	}
	var rules []any
	for i, r := range w.routes {
		rule := map[string]any{"path": path(i), "methods": []any{"GET"}}
		maps.Copy(rule, r.shape.rule)
		if r.own {
			service := map[string]any{"name": r.service, "port": int64(80)}
			if r.foreign {
				service["namespace"] = "bank"
			}
			rule["service"] = service
		}
		rules = append(rules, rule)
	}
	return map[string]any{"metadata": metadata, "spec": map[string]any{
		"hosts": []any{"cart.example.com"}, "gateway": "kyma-system/kyma-gateway", "service": map[string]any{"name": "cart", "port": int64(80)}, "rules": rules,
	}}
}

func (w world) facts() policy.Facts {
	facts := policy.Facts{
		Registry:   w.mesh.registry,
		Services:   map[types.NamespacedName]policy.Service{},
		Namespaces: map[string]policy.Namespace{"shop": {Annotations: w.namespace.annotations, Labels: map[string]string{"exposure": "public"}}},
		Now:        today,
	}
	for _, one := range w.rulings {
		facts.Policies = append(facts.Policies, one.compiled)
		facts.GatewayDomains = map[string]string{"kyma-system/kyma-gateway": "example.com"}
	}
	for name, says := range w.services {
		namespace := "shop"
		if slices.ContainsFunc(w.routes, func(r route) bool { return r.foreign && r.service == name }) {
			namespace = "bank"
			facts.Namespaces["bank"] = policy.Namespace{Annotations: w.elsewhere.annotations, Labels: map[string]string{"exposure": "private"}}
		}
		facts.Services[types.NamespacedName{Namespace: namespace, Name: name}] = policy.Service{Annotations: says.annotations}
	}
	return facts
}

func (w world) settings() policy.Settings {
	settings := policy.DefaultSettings()
	if w.mesh.weak {
		settings.UnknownRegistry = policy.Warn
	}
	if w.state.excluded {
		settings.ExcludedNamespaces = map[string]bool{"shop": true}
	}
	return settings
}

// modelled are the codes that the model speaks of.
func modelled(code policy.Code) bool {
	switch code {
	case policy.InvalidAnnotation, policy.AuthorizerNotRegistered, policy.InjectionMissing, policy.RuleLeftOpen, policy.RegistryUnknown,
		policy.PolicyViolation, policy.OptOutForbidden, policy.ForeignServiceOpen:
		return true
	default:
		return false
	}
}

// said tells findings as the model does, and apart from them which rules have a
// conflict.
func said(findings []policy.Finding) (verdicts []verdict, conflicts []int) {
	for _, finding := range findings {
		if finding.Code == policy.AuthorizerConflict {
			rule, _, _ := strings.Cut(strings.TrimPrefix(finding.Err.Field, "spec.rules["), "]")
			index, _ := strconv.Atoi(rule)
			conflicts = append(conflicts, index)
		}
		if modelled(finding.Code) {
			verdicts = append(verdicts, verdict{code: finding.Code, severity: finding.Severity, field: finding.Err.Field})
		}
	}
	return verdicts, conflicts
}

func differ(what string, want, got []verdict) string {
	order := func(a, b verdict) int {
		if c := strings.Compare(a.field, b.field); c != 0 {
			return c
		}
		return strings.Compare(string(a.code)+string(a.severity), string(b.code)+string(b.severity))
	}
	want = slices.Clone(want)
	for i := range want {
		want[i].value = ""
	}
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if !slices.Equal(want, got) {
		return fmt.Sprintf("%s: want %v, got %v", what, want, got)
	}
	return ""
}

// create compares what becomes of a new APIRule: what is injected, what is
// stored, that nothing is injected twice, and what is found with and without
// injection.
func (w world) create() string {
	object, facts, settings := w.object(), w.facts(), w.settings()
	view := apirule.Parse(object, "shop")
	injection := policy.Inject(view, facts, settings)
	if injection.Skipped != w.state.skipped {
		return fmt.Sprintf("skipped: want %q, got %q", w.state.skipped, injection.Skipped)
	}
	changed := w.state.skipped == "" && !injection.Edits.Empty()
	stored := w
	if w.state.skipped == "" {
		var problem string
		if stored, problem = w.injected(injection, object, view, facts, settings); problem != "" {
			return problem
		}
		got, _ := said(injection.Findings)
		if problem := differ("findings of Inject", w.faults(), got); problem != "" {
			return problem
		}
	} else if !injection.Edits.Empty() || len(injection.Outcomes) > 0 || len(injection.Findings) > 0 {
		return "something happened to an APIRule that is skipped"
	}
	if problem := w.check("findings if our mutating webhook is down", policy.Check(view, facts, settings)); problem != "" {
		return problem
	}
	if problem := w.assessed(view, facts, settings); problem != "" {
		return problem
	}
	if !changed {
		return ""
	}
	return stored.check("findings after injection", policy.Check(apirule.Parse(stored.object(), "shop"), facts, settings))
}

func (w world) check(what string, findings []policy.Finding) string {
	got, conflicts := said(findings)
	if want := w.conflicts(); !slices.Equal(want, conflicts) {
		return fmt.Sprintf("%s: want conflicts %v, got %v", what, want, conflicts)
	}
	return differ(what, w.findings(), got)
}

// injected compares an injection with the model and returns the world in which
// it is stored.
func (w world) injected(injection policy.Injection, object map[string]any, view apirule.View, facts policy.Facts, settings policy.Settings) (stored world, problem string) {
	stored = w
	stored.routes = slices.Clone(w.routes)
	var edits []apirule.Edit
	for i, r := range w.routes {
		want := w.treat(i, r)
		if got := injection.Outcomes[i]; got.Rule != i || got.Reason != want.reason || got.From != want.from {
			return stored, fmt.Sprintf("outcome of rule %d: want %s from %q, got %v", i, want.reason, want.from, got)
		}
		if want.authorizers != nil {
			edits = append(edits, injection.Edits.Rules[len(edits)])
			stored.routes[i].shape = shape{rule: want.rule, kind: "extAuth", authorizers: want.authorizers}
		}
	}
	if len(edits) != len(injection.Edits.Rules) || (injection.Edits.Provenance != nil) != (len(edits) > 0) {
		return stored, fmt.Sprintf("edits: want %v, got %v", edits, injection.Edits)
	}
	operations := apirule.JSONPatch(view, injection.Edits)
	if len(edits) == 0 {
		if len(operations) > 0 {
			return stored, fmt.Sprintf("no edits, but operations %v", operations)
		}
		return stored, ""
	}
	patched := applied(object, operations)
	want, _ := stored.object()["spec"].(map[string]any)
	if !reflect.DeepEqual(want, patched["spec"]) {
		return stored, fmt.Sprintf("stored: want %v, got %v", want, patched["spec"])
	}
	if again := policy.Inject(apirule.Parse(patched, "shop"), facts, settings); !again.Edits.Empty() {
		return stored, fmt.Sprintf("injecting again changes %v", again.Edits)
	}
	return stored, ""
}

// update compares what is found in an update of an APIRule.
func update(before, after world) string {
	facts, settings := after.facts(), after.settings()
	old := policy.Check(apirule.Parse(before.object(), "shop"), facts, settings)
	next := policy.Check(apirule.Parse(after.object(), "shop"), facts, settings)
	got, _ := said(policy.Ratchet(old, next))
	return differ("findings of the update", introduced(before.findings(), after.findings()), got)
}

// applied is a JSON Patch of the few operations that we use, applied to a copy
// of object. That the patch is one for everybody else is tested with a real
// library.
func applied(object map[string]any, operations []apirule.Operation) map[string]any {
	result := k8sruntime.DeepCopyJSON(object)
	parent := func(pointer string) (map[string]any, string) {
		tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
		var at any = result
		for _, token := range tokens[:len(tokens)-1] {
			switch container := at.(type) {
			case map[string]any:
				at = container[token]
			case []any:
				index, _ := strconv.Atoi(token)
				at = container[index]
			}
		}
		object, _ := at.(map[string]any)
		return object, strings.ReplaceAll(tokens[len(tokens)-1], "~1", "/")
	}
	for _, operation := range operations {
		container, key := parent(operation.Path)
		switch operation.Op {
		case "add":
			container[key] = plain(operation.Value)
		case "remove":
			delete(container, key)
		case "move":
			source, from := parent(operation.From)
			container[key] = source[from]
			delete(source, from)
		}
	}
	return result
}

// plain is a value as decoding gives it.
func plain(value any) any {
	switch value := value.(type) {
	case []string:
		list := make([]any, 0, len(value))
		for _, one := range value {
			list = append(list, one)
		}
		return list
	case map[string]string:
		object := map[string]any{}
		for key, one := range value {
			object[key] = one
		}
		return object
	case map[string]any:
		object := map[string]any{}
		for key, one := range value {
			object[key] = plain(one)
		}
		return object
	}
	return value
}

// walk visits every combination of digits below the given numbers, or every
// stride-th, with all processors, and reports the first problems.
func walk(t *testing.T, stride int, visit func(digits []int) string, below ...int) int64 {
	t.Helper()
	total := 1
	for _, one := range below {
		total *= one
	}
	var visited, problems atomic.Int64
	var workers sync.WaitGroup
	count := runtime.GOMAXPROCS(0)
	for worker := range count {
		workers.Go(func() {
			digits := make([]int, len(below))
			for number := worker * stride; number < total && problems.Load() < 5; number += count * stride {
				rest := number
				for i, one := range below {
					digits[i], rest = rest%one, rest/one
				}
				if problem := visit(digits); problem != "" {
					problems.Add(1)
					assert.Fail(t, problem, "world %v of %v", digits, below)
				}
				visited.Add(1)
			}
		})
	}
	workers.Wait()
	return visited.Load()
}

// TestModel compares code and model in more than a million worlds, or in a
// sample of them for go test -short and for the race detector, which makes each
// ten times as expensive.
func TestModel(t *testing.T) {
	// There is much garbage and little to keep.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	stride := 1
	if testing.Short() || raceDetector {
		stride = 13 * 17
	}
	says, rules, authorities, conditions := voices(), shapes(), meshes(), states()
	few := []voice{says[0], says[1], says[2], says[3], says[4], says[5]}
	var worlds int64

	t.Run("one rule", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			return world{
				apirule: says[d[0]], services: map[string]voice{"cart": says[d[1]]}, namespace: says[d[2]],
				routes: []route{{shape: rules[d[3]], service: "cart"}}, mesh: authorities[d[4]], state: conditions[d[5]],
			}.create()
		}, len(says), len(says), len(says), len(rules), len(authorities), 2)
	})
	t.Run("every condition of the object", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			w := world{
				apirule: says[d[0]], services: map[string]voice{"cart": few[d[1]]}, namespace: few[d[2]],
				mesh: authorities[d[4]], state: conditions[d[5]],
			}
			if !w.state.bare {
				w.routes = []route{{shape: rules[d[3]], service: "cart"}}
			}
			return w.create()
		}, len(says), 4, 4, len(rules), 3, len(conditions))
	})
	t.Run("two rules", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			second := []route{{service: "cart"}, {service: "pay", own: true}, {service: "cart", own: true}}[d[6]]
			second.shape = rules[d[5]]
			return world{
				apirule: says[d[0]], services: map[string]voice{"cart": few[d[1]], "pay": few[d[2]]}, namespace: few[d[3]],
				routes: []route{{shape: rules[d[4]], service: "cart"}, second}, mesh: authorities[d[7]],
			}.create()
		}, len(says), 2, 4, 2, len(rules), len(rules), 3, 3)
	})
	t.Run("updates", func(t *testing.T) {
		worlds += walk(t, stride, func(d []int) string {
			before := world{
				apirule: says[d[0]], services: map[string]voice{"cart": few[d[2]]},
				routes: []route{{shape: rules[d[4]], service: "cart"}}, mesh: authorities[d[6]],
			}
			after := before
			after.apirule = says[d[1]]
			after.routes = []route{{shape: rules[d[5]], service: "cart"}}
			if d[3] > 0 {
				after.routes = append(after.routes, route{shape: rules[d[4]], service: "pay", own: true})
			}
			return update(before, after)
		}, len(says), len(says), 4, 2, len(rules), len(rules), 3)
	})
	t.Run("policies", func(t *testing.T) { worlds += walkPolicies(t, stride) })
	t.Run("two namespaces", func(t *testing.T) { worlds += walkNamespaces(t, stride) })
	t.Logf("code and model agree in %d worlds", worlds)
	if stride == 1 {
		require.Greater(t, worlds, int64(1_000_000))
	}
}

// The model would find nothing if it did not speak the language of the code.
func TestModelSpeaksTheKeysOfTheCode(t *testing.T) {
	known := append(annotation.Keys(annotation.Namespace), "extauth-guard.io/injet")
	for _, says := range voices() {
		for key := range says.annotations {
			assert.Contains(t, known, key)
		}
	}
}
