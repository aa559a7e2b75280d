// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// intent is what is asked for one rule, after each key was resolved on its own,
// nearest first; see [levels.intentOf].
type intent struct {
	// inject is nil if nobody said anything.
	inject      *bool
	from        string // what decided inject, as in annotation.Provenance
	foreign     bool   // what decided inject is in another namespace than the APIRule
	required    bool   // foreign, and asks: the APIRule cannot say otherwise
	authorizers []string
	replace     annotation.Strategies
}

// asked is true if the rule is to be injected.
func (i intent) asked() bool {
	return i.inject != nil && *i.inject
}

// level is one object that may carry annotations, and what they say.
type level struct {
	from string
	// foreign is true for an object in another namespace than the APIRule.
	foreign bool
	// ofPolicy is true for an ExtAuthPolicy.
	ofPolicy bool
	intent   annotation.Intent
	// faults are the findings of annotations that do not parse.
	faults []Finding
}

// wrong returns the faults; none of a level that is not there.
func (l *level) wrong() []Finding {
	if l == nil {
		return nil
	}
	return l.faults
}

// allows returns the namespaces whose APIRules may expose the Service.
func (l *level) allows() []string {
	if l == nil {
		return nil
	}
	return l.intent.AllowFrom
}

// asks is true if the object is there and asks for injection.
func (l *level) asks() bool {
	return l != nil && l.intent.Inject != nil && *l.intent.Inject
}

// levels parses the annotations around one APIRule, each object once.
type levels struct {
	apirule  level
	services map[types.NamespacedName]*level
	// namespace is that of the APIRule, foreign are those of Services elsewhere.
	namespace level
	foreign   map[string]*level
	matching  matching
	// siblings is only there for a check.
	siblings *siblings
}

func newLevels(view apirule.View, facts Facts) levels {
	all := levels{apirule: parseLevel("APIRule", annotation.APIRule, view.Annotations, func(err *field.Error) Finding {
		return annotationFinding(err)
	})}
	all.matching = newMatching(view, facts)
	all.namespace = parseLevel("Namespace", annotation.Namespace, facts.Namespaces[view.Namespace].Annotations, func(err *field.Error) Finding {
		return dependencyFinding(field.NewPath("metadata", "namespace"), view.Namespace, "Namespace "+view.Namespace, err)
	})
	for _, rule := range view.Rules {
		all.addService(view, rule, facts)
	}
	return all
}

// addService adds the Service of a rule and, if it is that of another team, the
// namespace of the Service.
func (l *levels) addService(view apirule.View, rule apirule.Rule, facts Facts) {
	namespace := rule.Service.Namespace
	elsewhere := foreignService(view, rule)
	if annotations := facts.Namespaces[namespace].Annotations; elsewhere && len(annotations) > 0 {
		if _, done := l.foreign[namespace]; !done {
			one := parseLevel("Namespace "+namespace, annotation.Namespace, annotations, func(err *field.Error) Finding {
				return dependencyFinding(rule.ServiceField(), rule.Service.String(), "Namespace "+namespace, err)
			})
			one.foreign = true
			if l.foreign == nil {
				l.foreign = map[string]*level{}
			}
			l.foreign[namespace] = &one
		}
	}
	service, exists := facts.Services[rule.Service]
	if _, done := l.services[rule.Service]; done || !exists || len(service.Annotations) == 0 {
		return
	}
	name := fmt.Sprintf("Service %s", rule.Service)
	one := parseLevel(name, annotation.Service, service.Annotations, func(err *field.Error) Finding {
		return dependencyFinding(rule.ServiceField(), rule.Service.String(), name, err)
	})
	one.foreign = elsewhere
	if l.services == nil {
		l.services = map[types.NamespacedName]*level{}
	}
	l.services[rule.Service] = &one
}

// foreignService is true for a rule whose Service is in another namespace than
// the APIRule, and so belongs to another team.
func foreignService(view apirule.View, rule apirule.Rule) bool {
	return rule.Service.Name != "" && rule.Service.Namespace != view.Namespace
}

func parseLevel(from string, kind annotation.Kind, annotations map[string]string, report func(*field.Error) Finding) level {
	parsed, errs := annotation.Parse(kind, annotations)
	result := level{from: from, intent: parsed}
	for _, err := range errs {
		result.faults = append(result.faults, report(err))
	}
	return result
}

// faults returns the findings of all levels, nearest object first, Services and
// their namespaces in the order of the rules. Nothing is denied on a rule in
// front of an authorizer, so a fault that concerns only such rules is a warning.
func (l levels) faults(view apirule.View, registry Registry) []Finding {
	onlyFronts := len(view.Rules) > 0
	seen, seenNamespaces := map[types.NamespacedName]bool{}, map[string]bool{}
	var ofServices []Finding
	for _, rule := range view.Rules {
		fronts := registry.Fronts(view, rule)
		onlyFronts = onlyFronts && fronts
		if !seen[rule.Service] {
			seen[rule.Service] = true
			ofServices = append(ofServices, demotedIf(fronts, l.services[rule.Service].wrong())...)
		}
		if namespace := rule.Service.Namespace; !fronts && foreignService(view, rule) && !seenNamespaces[namespace] {
			seenNamespaces[namespace] = true
			ofServices = append(ofServices, l.foreign[namespace].wrong()...)
		}
	}
	found := append(demotedIf(onlyFronts, l.apirule.faults), ofServices...)
	return append(found, demotedIf(onlyFronts, l.namespace.faults)...)
}

// demotedIf returns a copy of findings, as warnings if warn is true.
func demotedIf(warn bool, findings []Finding) []Finding {
	findings = slices.Clone(findings)
	if warn {
		return demoteAll(findings)
	}
	return findings
}

// intentOf resolves the intent for one rule. Each key is resolved on its own,
// nearest first:
//
//	APIRule, its Service, the Service's namespace, the APIRule's namespace, ExtAuthPolicy
//
// Where the Service is in another namespace and it or its namespace asks for
// injection, that is a requirement: their words come first, the APIRule cannot
// opt out, and what may be replaced is only for them and for policies to say.
//
// A level that does not parse makes ok false: what its author wanted is not
// known, so nothing may follow from it.
func (l *levels) intentOf(view apirule.View, rule apirule.Rule, settings Settings) (resolved intent, ok bool) {
	policies := l.matching.level(rule)
	var order [5]*level
	order, resolved.required = l.order(view, rule, &policies)
	for _, one := range order {
		if len(one.wrong()) > 0 {
			return intent{}, false
		}
		resolved.take(one)
	}
	if resolved.authorizers == nil {
		resolved.authorizers = settings.DefaultAuthorizers
	}
	return resolved, true
}

// order returns the levels that speak about a rule, the one that counts most first and
// nil for one that is not there, and whether the Service's owner in another namespace
// requires injection.
func (l *levels) order(view apirule.View, rule apirule.Rule, policies *level) (order [5]*level, required bool) {
	service := l.services[rule.Service]
	if !foreignService(view, rule) {
		return [...]*level{&l.apirule, service, &l.namespace, policies, nil}, false
	}
	owner := l.foreign[rule.Service.Namespace]
	asker := service
	if service == nil || service.intent.Inject == nil {
		asker = owner
	}
	if asker.asks() {
		return [...]*level{service, owner, &l.apirule, &l.namespace, policies}, true
	}
	return [...]*level{&l.apirule, service, owner, &l.namespace, policies}, false
}

// take fills in what no level before this one has said.
func (i *intent) take(from *level) {
	if from == nil {
		return
	}
	if i.inject == nil && from.intent.Inject != nil {
		i.inject, i.from, i.foreign = from.intent.Inject, from.from, from.foreign
	}
	if i.authorizers == nil {
		i.authorizers = from.intent.Authorizers
	}
	mayReplace := !i.required || from.foreign || from.ofPolicy
	if mayReplace && i.replace == (annotation.Strategies{}) && from.intent.Replace != nil {
		i.replace = *from.intent.Replace
	}
}

func annotationFinding(err *field.Error) Finding {
	finding := newFinding(InvalidAnnotation, Deny, fieldPath(err), fmt.Sprint(err.BadValue), err.Detail, err.Detail)
	finding.Subject = err.Field + " " + finding.Subject // the same value under another key is another fault
	return finding
}

// dependencyFinding reports a fault on another object at the place that refers
// to it.
func dependencyFinding(path *field.Path, value, object string, err *field.Error) Finding {
	finding := newFinding(InvalidAnnotation, Deny, path, value,
		fmt.Sprintf("%s has %s; correct it there", object, err.Error()),
		fmt.Sprintf("%s: %s", err.Field, err.Detail))
	finding.Subject = object + " " + err.Error()
	return finding
}

// fieldPath gives an error's field as a path again.
func fieldPath(err *field.Error) *field.Path {
	return field.NewPath(err.Field)
}
