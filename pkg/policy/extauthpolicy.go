// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
)

// ClusterPolicy is an ExtAuthPolicy that is ready to be evaluated. It is
// immutable: compile it once and share it freely.
type ClusterPolicy struct {
	Name string
	UID  types.UID
	// Generation is that of the object it was compiled from.
	Generation int64
	// Fault says why the policy cannot be evaluated and matches nothing; "" if
	// it can. The schema of the CRD refuses what would lead to one.
	Fault string

	severity    Severity
	namespaces  labels.Selector
	byName      bool // namespaces selects by nothing but their names
	hosts       []string
	gateways    []string
	requirement *requirement
	inject      *annotation.Intent
	forbidden   bool // to opt out
	noCallers   bool // past the APIRules from inside the mesh
	consented   bool // to be exposed from another namespace
	exemptions  []exemption
}

// CompilePolicy prepares an ExtAuthPolicy. The object is not kept.
func CompilePolicy(object *v1alpha1.ExtAuthPolicy) ClusterPolicy {
	spec := object.Spec
	compiled := ClusterPolicy{
		Name: object.Name, UID: object.UID, Generation: object.Generation,
		severity:  severityOf(spec.Mode),
		hosts:     textsOf(spec.Match.Hosts),
		gateways:  textsOf(spec.Match.Gateways),
		forbidden: spec.OptOut == v1alpha1.Forbidden,
		noCallers: spec.InternalCallers == v1alpha1.InternalCallersForbidden,
		consented: spec.CrossNamespace == v1alpha1.CrossNamespaceConsented,
	}
	selector, err := metav1.LabelSelectorAsSelector(spec.Match.NamespaceSelector)
	switch {
	case err != nil:
		compiled.Fault = fmt.Sprintf("spec.match.namespaceSelector: %v", err)
	case spec.Match.NamespaceSelector != nil && !selector.Empty():
		compiled.namespaces, compiled.byName = selector, selectsByName(selector)
	}
	if spec.Require != nil {
		compiled.requirement = newRequirement(*spec.Require)
	}
	if spec.Inject != nil {
		compiled.inject = injectIntent(*spec.Inject)
	}
	for i, one := range spec.Exemptions {
		excuse, err := newExemption(one)
		if err != nil && compiled.Fault == "" {
			compiled.Fault = fmt.Sprintf("spec.exemptions[%d].expires: %v", i, err)
		}
		compiled.exemptions = append(compiled.exemptions, excuse)
	}
	return compiled
}

// selectsByName is true if the name of a namespace is all that decides whether it
// is selected: every Namespace has it as a label (KEP-2161).
func selectsByName(namespaces labels.Selector) bool {
	requirements, _ := namespaces.Requirements()
	return !slices.ContainsFunc(requirements, func(one labels.Requirement) bool { return one.Key() != corev1.LabelMetadataName })
}

// severityOf says what a mode does about a violation. An unknown one only
// reports: the schema refuses it, and a newer schema may know more than we do.
func severityOf(mode v1alpha1.Mode) Severity {
	switch mode {
	case v1alpha1.Enforce:
		return Deny
	case v1alpha1.Warn:
		return Warn
	case v1alpha1.Audit:
	}
	return Report
}

func injectIntent(inject v1alpha1.Inject) *annotation.Intent {
	asked := true
	intent := &annotation.Intent{Inject: &asked, Authorizers: textsOf(inject.Authorizers)}
	if len(inject.Replace) > 0 {
		intent.Replace = &annotation.Strategies{
			NoAuth: slices.Contains(inject.Replace, v1alpha1.NoAuth),
			JWT:    slices.Contains(inject.Replace, v1alpha1.JWT),
		}
	}
	return intent
}

// textsOf returns the texts of values, or nil for none.
func textsOf[T ~string](values []T) []string {
	var texts []string
	for _, value := range values {
		texts = append(texts, string(value))
	}
	return texts
}

// NotReady says why the policy is not in effect as it stands, as a reason for programs and
// in words for people; "" if it is. A registry that is not known is no reason.
func (p ClusterPolicy) NotReady(registry Registry) (reason, why string) {
	if p.Fault != "" {
		return "Invalid", "the policy matches nothing: " + p.Fault
	}
	if missing := p.Unregistered(registry); len(missing) > 0 {
		return "AuthorizerNotRegistered", fmt.Sprintf("nobody can comply: %s not registered in %s", strings.Join(missing, ", "), registry.Origin)
	}
	return "", ""
}

// asksFor is true if the policy requires or injects an authorizer.
func (p *ClusterPolicy) asksFor(name string) bool {
	return p.requirement != nil && slices.Contains(p.requirement.authorizers, name) || p.inject != nil && slices.Contains(p.inject.Authorizers, name)
}

// Unregistered returns the authorizers that make the policy impossible to follow
// as things are: those that it injects, and those that it requires if none of
// them is registered. A registry that is not known gives none.
func (p ClusterPolicy) Unregistered(registry Registry) []string {
	if !registry.Known {
		return nil
	}
	missing := func(name string) bool { return !registry.Has(name) }
	var names []string
	if p.requirement != nil && len(p.requirement.authorizers) > 0 && !slices.ContainsFunc(p.requirement.authorizers, registry.Has) {
		names = append(names, p.requirement.authorizers...)
	}
	if p.inject != nil {
		for _, name := range p.inject.Authorizers {
			if missing(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// AnyIssuer is true if a jwt counts as protection whoever its issuer is: the author of
// an APIRule then chooses whom it believes.
func (p ClusterPolicy) AnyIssuer() bool {
	return p.requirement != nil && p.requirement.anyJWT
}

// SelectsHosts is true if the policy is not about every host.
func (p ClusterPolicy) SelectsHosts() bool {
	return len(p.hosts) > 0
}

// ForbidsOptOut is true if the policy forbids the annotation inject: "false".
func (p ClusterPolicy) ForbidsOptOut() bool {
	return p.forbidden
}

// concerns is true if the policy is about a rule of an APIRule: if it selects the
// namespace of the APIRule or that of the rule's Service. A namespace whose labels
// are not known matches only what its name decides.
func (p ClusterPolicy) concerns(view apirule.View, rule apirule.Rule, facts Facts) bool {
	return p.mayMatch(view, facts) &&
		(p.matchesNamespace(view.Namespace, facts.Namespaces) || foreignService(view, rule) && p.matchesNamespace(rule.Service.Namespace, facts.Namespaces))
}

// Undecided returns the namespaces whose labels decide whether the policy is about
// an APIRule and are not known, sorted; none where it is decided without them.
func (p ClusterPolicy) Undecided(view apirule.View, facts Facts) []string {
	if p.namespaces == nil || p.byName || !p.mayMatch(view, facts) || p.matchesNamespace(view.Namespace, facts.Namespaces) {
		return nil
	}
	unknown := map[string]bool{}
	add := func(namespace string) {
		if _, known := facts.Namespaces[namespace]; !known {
			unknown[namespace] = true
		}
	}
	add(view.Namespace)
	for _, rule := range view.Rules {
		if foreignService(view, rule) {
			add(rule.Service.Namespace)
		}
	}
	return slices.Sorted(maps.Keys(unknown))
}

// mayMatch is true for what the policy is about if it selects the namespace.
func (p ClusterPolicy) mayMatch(view apirule.View, facts Facts) bool {
	return p.Fault == "" && p.matchesGateways(view) && p.matchesHosts(view.Hosts, facts.GatewayDomains[view.Gateway])
}

// MatchesHost is true if the policy is about a host that no APIRule serves.
func (p ClusterPolicy) MatchesHost(namespace, host, gateway string, namespaces map[string]Namespace) bool {
	return p.Fault == "" && p.matchesNamespace(namespace, namespaces) &&
		p.matchesGateway(gateway) && p.matchesHosts([]string{host}, "")
}

func (p ClusterPolicy) matchesNamespace(name string, namespaces map[string]Namespace) bool {
	if p.namespaces == nil {
		return true
	}
	if p.byName {
		return p.namespaces.Matches(labels.Set{corev1.LabelMetadataName: name})
	}
	namespace, known := namespaces[name]
	return known && p.namespaces.Matches(labels.Set(namespace.Labels))
}

// matchesGateways is true if the policy is about a gateway of an APIRule. Of an
// ExternalGateway Kyma makes a Gateway with "-gw" at its name.
func (p ClusterPolicy) matchesGateways(view apirule.View) bool {
	external := view.ExternalGateway
	return p.matchesGateway(view.Gateway) || external != "" && (p.matchesGateway(external) || p.matchesGateway(external+"-gw"))
}

func (p ClusterPolicy) matchesGateway(gateway string) bool {
	return len(p.gateways) == 0 || slices.Contains(p.gateways, gateway)
}

func (p ClusterPolicy) matchesHosts(hosts []string, domain string) bool {
	if len(p.hosts) == 0 {
		return true
	}
	for _, host := range hosts {
		host = FullHost(host, domain)
		if slices.ContainsFunc(p.hosts, func(pattern string) bool { return overlap(FullHost(pattern, domain), host) }) {
			return true
		}
	}
	return false
}

// exemption excuses rules of one APIRule.
type exemption struct {
	apirule types.NamespacedName
	paths   []string // empty: all
	// end is the first moment at which it is over.
	end time.Time
}

func newExemption(given v1alpha1.Exemption) (exemption, error) {
	last, err := time.Parse(time.DateOnly, given.Expires)
	if err != nil {
		return exemption{}, fmt.Errorf("%q is no day; write YYYY-MM-DD", given.Expires)
	}
	return exemption{
		apirule: types.NamespacedName{Namespace: given.Namespace, Name: given.Name},
		paths:   slices.Clone(given.Paths),
		end:     last.AddDate(0, 0, 1),
	}, nil
}

// excuses is true if the exemption holds for a rule of an APIRule at a time.
func (e exemption) excuses(name types.NamespacedName, rule apirule.Rule, now time.Time) bool {
	if e.apirule != name || !now.Before(e.end) {
		return false
	}
	return len(e.paths) == 0 || slices.ContainsFunc(e.paths, func(path string) bool { return covers(path, rule.Path) })
}

func (p ClusterPolicy) exempts(name types.NamespacedName, rule apirule.Rule, now time.Time) bool {
	return slices.ContainsFunc(p.exemptions, func(e exemption) bool { return e.excuses(name, rule, now) })
}

// ExemptionEnds returns the moments at which the exemptions of the policy end or
// ended, in their order.
func (p ClusterPolicy) ExemptionEnds() []time.Time {
	ends := make([]time.Time, 0, len(p.exemptions))
	for _, one := range p.exemptions {
		ends = append(ends, one.end)
	}
	return ends
}

// matching is the policies that are about an APIRule.
type matching struct {
	apirule types.NamespacedName
	now     time.Time
	// policies are those that are about the APIRule or one of its rules, by name.
	policies []*ClusterPolicy
	// own are those that are about the whole APIRule.
	own []*ClusterPolicy
	// foreign are those about a rule whose Service is in another namespace, by
	// that namespace; those in own are among them.
	foreign map[string][]*ClusterPolicy
}

func newMatching(view apirule.View, facts Facts) matching {
	m := matching{apirule: view.NamespacedName(), now: facts.Now}
	var candidates []*ClusterPolicy
	for i := range facts.Policies {
		if one := &facts.Policies[i]; one.mayMatch(view, facts) {
			candidates = append(candidates, one)
		}
	}
	selects := func(one *ClusterPolicy, namespace string) bool {
		return one.matchesNamespace(namespace, facts.Namespaces)
	}
	m.own = selecting(candidates, func(one *ClusterPolicy) bool { return selects(one, view.Namespace) })
	m.policies = m.own
	if len(m.own) == len(candidates) {
		return m
	}
	m.foreign = map[string][]*ClusterPolicy{}
	about := sets.New(m.own...)
	for _, rule := range view.Rules {
		namespace := rule.Service.Namespace
		if _, done := m.foreign[namespace]; done || !foreignService(view, rule) {
			continue
		}
		m.foreign[namespace] = selecting(candidates, func(one *ClusterPolicy) bool {
			return slices.Contains(m.own, one) || selects(one, namespace)
		})
		about.Insert(m.foreign[namespace]...)
	}
	m.policies = selecting(candidates, about.Has)
	return m
}

// selecting returns the policies that are wanted, in their order.
func selecting(policies []*ClusterPolicy, wanted func(*ClusterPolicy) bool) []*ClusterPolicy {
	var selected []*ClusterPolicy
	for _, one := range policies {
		if wanted(one) {
			selected = append(selected, one)
		}
	}
	return selected
}

// of returns the policies that are about a rule, by name.
func (m matching) of(rule apirule.Rule) []*ClusterPolicy {
	if of, foreign := m.foreign[rule.Service.Namespace]; foreign && rule.Service.Namespace != m.apirule.Namespace {
		return of
	}
	return m.own
}

func (m matching) exempt(policy *ClusterPolicy, rule apirule.Rule) bool {
	return policy.exempts(m.apirule, rule, m.now)
}

// level returns what the policies ask for a rule: that of the first by name that
// injects and does not exempt it.
func (m matching) level(rule apirule.Rule) level {
	for _, one := range m.of(rule) {
		if one.inject != nil && !m.exempt(one, rule) {
			return level{from: "ExtAuthPolicy " + one.Name, ofPolicy: true, intent: *one.inject}
		}
	}
	return level{}
}

// names returns the names of policies for a sentence, in their order.
func names(policies []*ClusterPolicy) string {
	all := make([]string, 0, len(policies))
	for _, one := range policies {
		all = append(all, one.Name)
	}
	if len(all) == 1 {
		return "ExtAuthPolicy " + all[0]
	}
	return "ExtAuthPolicies " + strings.Join(all, ", ")
}
