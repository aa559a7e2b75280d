// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate turns what protected an application before into APIRules v2
// that this project protects: APIRules v1beta1 and v1alpha1, and Ingresses of
// ingress-nginx with an auth-url.
//
// Nobody gets in who did not before. All rules of a host are converted and then
// compared, as a whole, with what they come from; where a request would be let in
// that was not, none of them is converted.
package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// Options are the choices of a migration. The zero value leaves Ingresses
// without a Gateway.
type Options struct {
	// Gateway is that of APIRules that are made of Ingresses, as namespace/name.
	Gateway string
	// Authorizers are named in the annotation of the APIRule; empty leaves the
	// choice to the configuration of the webhook.
	Authorizers []string
	// Excluded are the namespaces in which the webhook injects nothing. There the
	// authorizers stand in the rules: those of Authorizers, or else Default.
	Excluded []string
	Default  string
	// Namespace is that of objects that name none, "" for default. It is used to
	// find what belongs together and is not written.
	Namespace string
	// Partial writes an APIRule that cannot be what it was: rules in doubt are left
	// to the authorizer, or left out.
	Partial bool
	// AcceptMoreOpen writes an APIRule of an Ingress although restrictions of it
	// are lost.
	AcceptMoreOpen bool
}

// Kind says what a [Note] means for whoever migrates.
type Kind int

const (
	// Told is said and needs nothing to be done.
	Told Kind = iota
	// Todo is to be looked at or done; nothing is lost.
	Todo
	// Lost is something that the result does not do any more.
	Lost
	// Restriction is a restriction of access that is lost.
	Restriction
	// Refused says why something is not migrated.
	Refused
)

// Note is something that somebody has to know about the migration of one object.
type Note struct {
	// Source is the index of the object, Object its name for people.
	Source int
	Object string
	// Path is the field of the source that it is about.
	Path string
	Kind Kind
	// Text is a sentence, or more, without a full stop at its end. It may repeat
	// text of the source, bounded but as it is: it is for a writer of package quote.
	Text string
}

// Result is what one object, or the Ingresses of one host, became.
type Result struct {
	// APIRule is the object to apply; nil if there is none.
	APIRule map[string]any
	// Migrated is true for an APIRule that is v2 already.
	Migrated bool
	// Notes are about its sources.
	Notes []Note

	source int
}

// Outcome is what a set of objects became.
type Outcome struct {
	// Results are in the order of their first sources. Objects that are of no
	// concern have none.
	Results []Result
	// Steps say in which order to do what, one sentence each; none if no APIRule
	// is to be applied.
	Steps []string
}

// Has says whether one of the notes is of a kind.
func (r Result) Has(kind Kind) bool {
	return slices.ContainsFunc(r.Notes, func(note Note) bool { return note.Kind == kind })
}

// APIRules counts the objects to apply.
func (o Outcome) APIRules() int {
	count := 0
	for _, result := range o.Results {
		if result.APIRule != nil {
			count++
		}
	}
	return count
}

// Count counts the objects that were not migrated, and the notes about something
// that is lost.
func (o Outcome) Count() (refused, lost int) {
	for _, result := range o.Results {
		if result.Has(Refused) {
			refused++
		}
		for _, note := range result.Notes {
			if note.Kind == Lost || note.Kind == Restriction {
				lost++
			}
		}
	}
	return refused, lost
}

// HasMigrated says whether an APIRule was v2 already.
func (o Outcome) HasMigrated() bool {
	return slices.ContainsFunc(o.Results, func(result Result) bool { return result.Migrated })
}

// Objects migrates decoded objects together: what is in front of the same host or
// workload belongs together, and Services say the numbers of named ports. Objects
// of other kinds are passed over. The objects are not changed.
func Objects(objects []map[string]any, options Options) Outcome {
	if options.Namespace == "" {
		options.Namespace = "default"
	}
	m := &migration{objects: objects, options: options, services: servicesOf(objects, options.Namespace)}
	m.readAPIRules()
	m.readIngresses()
	slices.SortStableFunc(m.candidates, func(a, b *candidate) int { return a.source - b.source })
	m.refuseSharedHosts()
	m.readEntries()
	m.convert()
	m.tellTogether()
	outcome := Outcome{}
	for _, c := range m.candidates {
		for i := range c.notes {
			c.notes[i].Object = m.name(c.notes[i].Source)
		}
		outcome.Results = append(outcome.Results, Result{APIRule: c.apiRule, Migrated: c.migrated, Notes: c.notes, source: c.source})
	}
	if outcome.APIRules() > 0 {
		outcome.Steps = m.steps()
	}
	return outcome
}

// migration is one call of Objects.
type migration struct {
	objects    []map[string]any
	options    Options
	services   services
	candidates []*candidate
	// entries are what Ingresses asked, by [entry.key].
	entries map[string]*entry
}

// candidate is what becomes one APIRule, or none.
type candidate struct {
	// source is the index of the object that gives it its name.
	source int
	// legacy is true if that is an APIRule.
	legacy bool
	// done is true if there is nothing to do, migrated if that is because it is v2
	// already.
	done, migrated  bool
	namespace, name string
	// host is in lower case, and gateway tells short hosts apart.
	host, gateway string
	routes        []route
	spec          map[string]any
	metadata      map[string]any
	// authorizers are what Ingresses asked.
	authorizers []entry
	notes       []Note
	apiRule     map[string]any
	// injected is true if a rule of apiRule is left to the authorizer.
	injected bool
}

// maxNotes bounds how much is said about one host. Why it is refused is always
// said.
const maxNotes = 256

// note adds a note about a source.
func (c *candidate) note(source int, kind Kind, path, format string, args ...any) {
	if len(c.notes) == maxNotes-1 && kind != Refused {
		kind, path, format, args = Lost, "spec", "there is more to say than the %d notes here; see what became of each field", []any{maxNotes}
	}
	if len(c.notes) >= maxNotes && kind != Refused {
		return
	}
	c.notes = append(c.notes, Note{Source: source, Path: path, Kind: kind, Text: fmt.Sprintf(format, args...)})
}

func (c *candidate) refused() bool {
	return slices.ContainsFunc(c.notes, func(note Note) bool { return note.Kind == Refused })
}

// name names an object in a sentence.
func (m *migration) name(source int) string {
	metadata := object(m.objects[source], "metadata")
	return text(m.objects[source], "kind") + " " + bound.Text(namespaceOr(metadata, m.options.Namespace)) + "/" + bound.Text(text(metadata, "name"))
}

// refuseSharedHosts refuses candidates that have the same host: Kyma serves the
// first and puts the others in Error, and nothing here says which one that was.
func (m *migration) refuseSharedHosts() {
	claims := map[string][]*candidate{}
	for _, c := range m.candidates {
		key := c.host
		if !strings.Contains(key, ".") {
			key += " " + c.gateway
		}
		if c.host != "" {
			claims[key] = append(claims[key], c)
		}
	}
	for _, rivals := range claims {
		names := m.names(rivals)
		for i, c := range rivals {
			if len(rivals) > 1 && !c.done {
				c.note(c.source, Refused, c.hostField(), "not migrated: %s has the host %s too, and v2 takes one APIRule for a host; put their rules into one", others(names, i), quoted(c.host))
			}
		}
	}
}

func (m *migration) names(of []*candidate) []string {
	names := make([]string, 0, len(of))
	for _, c := range of {
		names = append(names, m.name(c.source))
	}
	return names
}

// others lists all names but one, at a cost that does not depend on how many there
// are.
func others(names []string, but int) string {
	shown := slices.Clone(names[:min(len(names), bound.MaxListed+1)])
	shown = slices.Delete(shown, min(but, len(shown)-1), min(but, len(shown)-1)+1)
	if more := len(names) - 1 - len(shown); more > 0 {
		return fmt.Sprintf("%s and %d more", bound.List(shown), more)
	}
	return bound.List(shown)
}

func (c *candidate) hostField() string {
	if c.legacy {
		return "spec.host"
	}
	return "spec.rules"
}

// convert makes an APIRule of each candidate that nothing stands against.
func (m *migration) convert() {
	how := map[bool]mode{true: allOrNone, false: closing}
	if m.options.Partial {
		how = map[bool]mode{true: partial, false: partial}
	}
	for _, c := range m.candidates {
		if c.done {
			continue
		}
		var made conversion
		if !c.refused() {
			made = convert(c.routes, how[c.legacy])
		}
		if len(made.rules) == 0 {
			// What would be lost besides matters when it is migrated.
			c.notes = slices.DeleteFunc(c.notes, func(note Note) bool { return note.Kind < Restriction })
		}
		c.notes = append(c.notes, made.notes...)
		switch {
		case len(made.rules) > 0:
			c.apiRule = m.render(c, made)
		case !c.refused():
			c.note(c.source, Refused, "spec.rules", "not migrated: every rule of %s is left out", m.name(c.source))
		}
	}
}

// render writes the APIRule.
func (m *migration) render(c *candidate, made conversion) map[string]any {
	var named []string
	if c.injected = slices.ContainsFunc(made.rules, func(r rule) bool { return r.credential == authorizer }); c.injected {
		named = m.named(c)
	}
	excluded := slices.Contains(m.options.Excluded, namespaceOr(c.metadata, m.options.Namespace))
	if excluded && len(named) == 0 {
		named = []string{m.options.Default}
	}
	rules := make([]any, 0, len(made.rules))
	for _, r := range made.rules {
		rule := maps.Clone(made.routes[r.from].content)
		rule["path"], rule["methods"] = r.path, anys(r.methods)
		switch r.credential {
		case anybody:
			rule["noAuth"] = true
		case authorizer:
			delete(rule, "jwt")
			if excluded {
				rule["extAuth"] = map[string]any{"authorizers": anys(named)}
			}
		}
		rules = append(rules, rule)
	}
	c.spec["rules"] = rules
	switch {
	case c.injected && excluded:
		c.note(c.source, Todo, "metadata.namespace", "nothing is injected in this namespace, so the rules name the authorizers %s; see that the Istio CR registers them", bound.List(named))
	case c.injected:
		c.ask(named)
	}
	return map[string]any{"apiVersion": apirule.Group + "/v2", "kind": apirule.Kind, "metadata": c.metadata, "spec": c.spec}
}

// ask annotates the APIRule for injection.
func (c *candidate) ask(authorizers []string) {
	annotations, _ := c.metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
	}
	if len(authorizers) > 0 {
		annotations[annotation.Authorizers] = strings.Join(authorizers, ",")
	} else {
		annotations[annotation.Inject] = "true"
	}
	c.metadata["annotations"] = annotations
}

// metadataOf returns what an APIRule keeps of the metadata of its source.
func metadataOf(from map[string]any, name string, keep func(key string) bool) map[string]any {
	source := object(from, "metadata")
	metadata := map[string]any{"name": name}
	if namespace := text(source, "namespace"); namespace != "" {
		metadata["namespace"] = namespace
	}
	if labels := object(source, "labels"); len(labels) > 0 {
		metadata["labels"] = maps.Clone(labels)
	}
	annotations := map[string]any{}
	for key, value := range object(source, "annotations") {
		if key != "kubectl.kubernetes.io/last-applied-configuration" && keep(key) {
			annotations[key] = value
		}
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return metadata
}

// Relevant says whether an object is of a kind that can be migrated, or a Service.
func Relevant(object map[string]any) bool {
	return isAPIRule(object) || isIngress(object) || isService(object)
}

func isAPIRule(object map[string]any) bool {
	group, _, _ := strings.Cut(text(object, "apiVersion"), "/")
	return group == apirule.Group && text(object, "kind") == apirule.Kind
}

func isService(object map[string]any) bool {
	return text(object, "apiVersion") == "v1" && text(object, "kind") == "Service"
}

// quoted returns a text of a stranger for a sentence.
func quoted(text string) string {
	return strconv.Quote(bound.Text(text))
}
