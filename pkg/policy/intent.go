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
// nearest first: APIRule, effective Service, Namespace, ExtAuthPolicy.
type intent struct {
	// inject is nil if nobody said anything.
	inject      *bool
	from        string // what decided inject, as in annotation.Provenance
	authorizers []string
	replace     annotation.Strategies
}

// asked is true if the rule is to be injected.
func (i intent) asked() bool {
	return i.inject != nil && *i.inject
}

// level is one object that may carry annotations, and what they say.
type level struct {
	from   string
	intent annotation.Intent
	// faults are the findings of annotations that do not parse.
	faults []Finding
}

// levels parses the annotations around one APIRule, each object once.
type levels struct {
	apirule   level
	services  map[types.NamespacedName]level
	namespace level
	cluster   cluster
	// siblings is only there for a check.
	siblings *siblings
}

func newLevels(view apirule.View, facts Facts) levels {
	all := levels{apirule: parseLevel("APIRule", annotation.APIRule, view.Annotations, func(err *field.Error) Finding {
		return annotationFinding(err)
	})}
	all.cluster = newCluster(view, facts)
	all.namespace = parseLevel("Namespace", annotation.Namespace, facts.Namespaces[view.Namespace].Annotations, func(err *field.Error) Finding {
		return dependencyFinding(field.NewPath("metadata", "namespace"), view.Namespace, "Namespace "+view.Namespace, err)
	})
	for _, rule := range view.Rules {
		service, exists := facts.Services[rule.Service]
		if _, done := all.services[rule.Service]; done || !exists || len(service.Annotations) == 0 {
			continue
		}
		if all.services == nil {
			all.services = map[types.NamespacedName]level{}
		}
		name := fmt.Sprintf("Service %s", rule.Service)
		all.services[rule.Service] = parseLevel(name, annotation.Service, service.Annotations, func(err *field.Error) Finding {
			return dependencyFinding(rule.ServiceField(), rule.Service.String(), name, err)
		})
	}
	return all
}

func parseLevel(from string, kind annotation.Kind, annotations map[string]string, report func(*field.Error) Finding) level {
	parsed, errs := annotation.Parse(kind, annotations)
	result := level{from: from, intent: parsed}
	for _, err := range errs {
		result.faults = append(result.faults, report(err))
	}
	return result
}

// faults returns the findings of all levels, nearest object first, Services in
// the order of the rules. Nothing is denied on a rule in front of an authorizer,
// so a fault that concerns only such rules is a warning.
func (l levels) faults(view apirule.View, registry Registry) []Finding {
	onlyFronts := len(view.Rules) > 0
	seen := map[types.NamespacedName]bool{}
	var ofServices []Finding
	for _, rule := range view.Rules {
		fronts := registry.Fronts(rule.Service) != ""
		onlyFronts = onlyFronts && fronts
		if !seen[rule.Service] {
			seen[rule.Service] = true
			ofServices = append(ofServices, demotedIf(fronts, l.services[rule.Service].faults)...)
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

// intentOf resolves the intent for one rule. A level that does not parse makes
// ok false: what its author wanted is not known, so nothing may follow from it.
func (l levels) intentOf(rule apirule.Rule, settings Settings) (resolved intent, ok bool) {
	for _, one := range []level{l.apirule, l.services[rule.Service], l.namespace, l.cluster.level(rule)} {
		if len(one.faults) > 0 {
			return intent{}, false
		}
		if resolved.inject == nil && one.intent.Inject != nil {
			resolved.inject, resolved.from = one.intent.Inject, one.from
		}
		if resolved.authorizers == nil {
			resolved.authorizers = one.intent.Authorizers
		}
		if resolved.replace == (annotation.Strategies{}) && one.intent.Replace != nil {
			resolved.replace = *one.intent.Replace
		}
	}
	if resolved.authorizers == nil {
		resolved.authorizers = settings.DefaultAuthorizers
	}
	return resolved, true
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
