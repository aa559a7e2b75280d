// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

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
	exemptions  []exemption
}

// requirement is what a policy wants of a rule. Two policies with the same text
// want the same.
type requirement struct {
	authorizers []string // sorted; empty: any that is registered
	allowJWT    bool
	text        string
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

func newRequirement(require v1alpha1.Require) *requirement {
	wanted := &requirement{authorizers: textsOf(require.Authorizers), allowJWT: require.AllowJWT}
	slices.Sort(wanted.authorizers)
	switch len(wanted.authorizers) {
	case 0:
		wanted.text = "a registered authorizer"
	case 1:
		wanted.text = "the authorizer " + wanted.authorizers[0]
	default:
		wanted.text = "one of the authorizers " + enumerate(wanted.authorizers)
	}
	if wanted.allowJWT {
		wanted.text += " or a jwt"
	}
	return wanted
}

// holds is true if the rule has what is required. A registry that is not known
// is no reason to call a rule with authorizers unprotected: that is another
// finding.
func (r requirement) holds(rule apirule.Rule, registry Registry) bool {
	if rule.Strategy == apirule.JWT {
		return r.allowJWT
	}
	for _, name := range rule.Authorizers {
		if len(r.authorizers) == 0 && (!registry.Known || registry.Has(name)) || slices.Contains(r.authorizers, name) {
			return true
		}
	}
	return false
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

// ForbidsOptOut is true if the policy forbids the annotation inject: "false".
func (p ClusterPolicy) ForbidsOptOut() bool {
	return p.forbidden
}

// Matches is true if the policy is about an APIRule. A namespace whose labels
// are not known matches only what its name decides.
func (p ClusterPolicy) Matches(view apirule.View, facts Facts) bool {
	return p.mayMatch(view, facts) && p.matchesNamespace(view.Namespace, facts.Namespaces)
}

// Undecided is true if it depends on labels that are not known whether the policy
// is about an APIRule.
func (p ClusterPolicy) Undecided(view apirule.View, facts Facts) bool {
	_, known := facts.Namespaces[view.Namespace]
	return p.namespaces != nil && !p.byName && !known && p.mayMatch(view, facts)
}

// mayMatch is true for what the policy is about if it selects the namespace.
func (p ClusterPolicy) mayMatch(view apirule.View, facts Facts) bool {
	return p.Fault == "" && p.matchesGateway(view.Gateway) && p.matchesHosts(view.Hosts, facts.GatewayDomains[view.Gateway])
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

// cluster is the policies that match one APIRule.
type cluster struct {
	apirule  types.NamespacedName
	now      time.Time
	policies []*ClusterPolicy
}

func newCluster(view apirule.View, facts Facts) cluster {
	c := cluster{apirule: view.NamespacedName(), now: facts.Now}
	for i := range facts.Policies {
		if facts.Policies[i].Matches(view, facts) {
			c.policies = append(c.policies, &facts.Policies[i])
		}
	}
	return c
}

func (c cluster) exempt(policy *ClusterPolicy, rule apirule.Rule) bool {
	return policy.exempts(c.apirule, rule, c.now)
}

// level returns what the policies ask for a rule: that of the first by name that
// injects and does not exempt it.
func (c cluster) level(rule apirule.Rule) level {
	for _, one := range c.policies {
		if one.inject != nil && !c.exempt(one, rule) {
			return level{from: "ExtAuthPolicy " + one.Name, intent: *one.inject}
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
