// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lint gives on files the verdict that the webhook gives at admission:
// it reads manifests, injects as the mutating webhook would, checks what would
// be stored, and prints findings with file and line.
//
// It decides nothing itself. What files cannot tell, for example which
// authorizers are registered, is counted as unchecked and is no finding.
package lint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/crd"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// The codes that are not the policy's, because admission never meets them.
const (
	// Unreadable is what is no manifest.
	Unreadable = "ManifestUnreadable"
	// NotExposed is a Service that asks to be exposed and would not be; in a cluster
	// an event and an annotation of the Service say so.
	NotExposed = "ServiceNotExposed"
)

// Finding is one thing that is wrong, and where. Its JSON form is API.
type Finding struct {
	Code      string          `json:"code"`
	Severity  policy.Severity `json:"severity"`
	File      string          `json:"file"`
	Line      int             `json:"line"`
	Kind      string          `json:"kind"`
	Namespace string          `json:"namespace"`
	Name      string          `json:"name"`
	// Path is the field, as in "spec.rules[0]"; "" for what is no manifest.
	Path    string `json:"path"`
	Message string `json:"message"`

	// Column is where on the line it begins, from 1.
	Column int `json:"-"`
	// Source is the line itself.
	Source string `json:"-"`
	// Subject tells findings of one code apart, wherever they move.
	Subject string `json:"-"`
}

// Summary counts what was looked at. Its JSON form is API.
type Summary struct {
	// Objects is how many objects were checked; kinds that this project has
	// nothing to say about do not count.
	Objects int `json:"objects"`
	Deny    int `json:"deny"`
	Warn    int `json:"warn"`
	// Unchecked is how many references to authorizers could not be checked.
	Unchecked int `json:"unchecked"`
	// Undecided is how many objects ExtAuthPolicies may be about or not.
	Undecided int `json:"undecided"`
	// Verdicts is how many APIRules have which verdict, those that Services ask for
	// included; nil if there are none.
	Verdicts policy.Tally `json:"verdicts,omitempty"`

	// Unreadable is how many of the denials are documents or files that are no
	// manifests.
	Unreadable int `json:"-"`
	// APIRules, Istios and Files are how many of each were looked at, Patches how many
	// files were passed over because kustomize uses them as patches, Ignored how many
	// findings the user does not want to see.
	APIRules, Istios, Files, Patches, Ignored int `json:"-"`
	// Reason says why references are unchecked.
	Reason string `json:"-"`
	// Namespaces are those whose labels would decide, sorted.
	Namespaces []string `json:"-"`
}

// Linter checks objects. Source must be set.
type Linter struct {
	// Source has what is known; files are collected into it by [Linter.Collect].
	Source   facts.Source
	Settings policy.Settings
	// Namespace is that of objects which do not name one.
	Namespace string
	// Gateway is that of Services which ask to be exposed and name none; "" where no
	// Service is exposed by annotation.
	Gateway string
	// Now is when exemptions of ExtAuthPolicies have to hold.
	Now time.Time
	// Istios are the Istio CRs that a cluster has, whatever the input makes of them;
	// nil without a cluster. They tell what a manifest would take away.
	Istios map[types.NamespacedName]istio.View
	// Complete is true if Source knows a whole cluster. Files are never all
	// there is: without it, nothing is concluded from what is missing.
	Complete bool
	// Schemas are what the API server asks of objects before it stores them; nil if
	// nobody wants to know.
	Schemas *crd.Schemas
	// Ignore has the codes that are not printed and not counted.
	Ignore map[string]bool
	// Strict makes a denial of what could not be checked.
	Strict bool
}

// Printer prints findings as they are found.
type Printer interface {
	// Print prints one finding.
	Print(Finding) error
	// Close prints what comes last, and must be called once.
	Close(Summary) error
}

// Run checks all objects in files and prints what is wrong, file by file. What
// cannot be read is a finding, and the rest is still checked. An error is one of
// the printer, or that ctx ended.
func (l Linter) Run(ctx context.Context, files []manifest.File, printer Printer) (Summary, error) {
	var summary Summary
	for _, file := range files {
		if file.Patch {
			summary.Patches++
			continue
		}
		summary.Files++
		for document, err := range file.Documents() {
			if err := ctx.Err(); err != nil {
				return summary, err
			}
			findings := l.document(ctx, file.Name, document, err, &summary)
			if err := ctx.Err(); err != nil {
				return summary, err
			}
			if err := l.print(printer, findings, &summary); err != nil {
				return summary, err
			}
		}
	}
	if summary.Unchecked > 0 {
		summary.Reason = l.Source.Facts(ctx, apirule.View{}).Registry.Reason
	}
	if err := printer.Close(summary); err != nil {
		return summary, fmt.Errorf("printing the summary: %w", err)
	}
	return summary, nil
}

// print counts findings, and prints those that the user wants to see.
func (l Linter) print(printer Printer, findings []Finding, summary *Summary) error {
	for _, finding := range findings {
		if l.Ignore[finding.Code] {
			summary.Ignored++
			continue
		}
		if !l.Strict && summary.skip(finding) {
			continue
		}
		summary.count(finding)
		if err := printer.Print(finding); err != nil {
			return fmt.Errorf("printing a finding: %w", err)
		}
	}
	return nil
}

func (s *Summary) count(finding Finding) {
	switch finding.Severity {
	case policy.Deny:
		s.Deny++
	case policy.Warn:
		s.Warn++
	case policy.Report:
	}
	if finding.Code == Unreadable {
		s.Unreadable++
	}
}

func (l Linter) document(ctx context.Context, file string, document manifest.Document, err error, summary *Summary) (findings []Finding) {
	var parsed []manifest.Object
	if err == nil {
		parsed, err = document.Parse()
	}
	if err != nil {
		return []Finding{unreadable(file, document, err)}
	}
	for _, object := range parsed {
		if ctx.Err() != nil {
			return findings
		}
		about := identify(object.Value, l.Namespace)
		examined, _ := l.Examine(ctx, object.Value)
		found, known := l.check(ctx, about, object.Value, examined)
		if known {
			summary.see(about, examined)
		}
		for _, one := range append(found, misspelled(about, object.Value)...) {
			findings = append(findings, l.place(file, object, one))
		}
		findings = append(findings, l.exposed(file, object, examined)...)
		findings = append(findings, l.undecided(file, object, examined)...)
	}
	return findings
}

// see counts an object, and the verdict on it; examined is nil if there is none.
func (s *Summary) see(about identity, examined *Examined) {
	s.Objects++
	if examined != nil {
		s.Verdicts.Add(examined.Verdict.Verdict, 1)
	}
	switch about.groupKind() {
	case apirule.Kind + "." + apirule.Group:
		s.APIRules++
	case istio.Kind + "." + istio.Group:
		s.Istios++
	}
}

// Sentence says what was looked at, for people: "checked 41 APIRules, 2 Istio CRs
// in 17 files: no errors".
func (s Summary) Sentence() string {
	passed := ""
	if s.Patches > 0 {
		passed = fmt.Sprintf(", %s passed over", count(s.Patches, "patch of kustomize", "patches of kustomize"))
	}
	if s.Objects == 0 {
		return fmt.Sprintf("nothing to check: no APIRule, Istio CR, Service or Namespace in %s%s", count(s.Files, "file", "files"), passed)
	}
	var what []string
	for _, one := range []struct {
		n         int
		one, many string
	}{
		{s.APIRules, "APIRule", "APIRules"},
		{s.Istios, "Istio CR", "Istio CRs"},
		{s.Objects - s.APIRules - s.Istios, "other object", "other objects"},
	} {
		if one.n > 0 {
			what = append(what, count(one.n, one.one, one.many))
		}
	}
	result := "no errors"
	if s.Deny > 0 {
		result = count(s.Deny, "error", "errors")
	}
	if s.Warn > 0 {
		result += ", " + count(s.Warn, "warning", "warnings")
	}
	if s.Ignored > 0 {
		result += fmt.Sprintf(", %d ignored", s.Ignored)
	}
	return fmt.Sprintf("checked %s in %s%s: %s", strings.Join(what, ", "), count(s.Files, "file", "files"), passed, result)
}

// Codes returns the codes that lint can print, sorted.
func Codes() []string {
	codes := []string{Unreadable, NotExposed, VersionNotServed, SchemaInvalid, PolicyUndecided}
	for _, reference := range policy.References() {
		codes = append(codes, string(reference.Code))
	}
	slices.Sort(codes)
	return codes
}

func unreadable(file string, document manifest.Document, err error) Finding {
	finding := Finding{Code: Unreadable, Severity: policy.Deny, File: file, Line: document.Line, Column: 1, Message: err.Error()}
	if syntax, ok := errors.AsType[*manifest.SyntaxError](err); ok {
		finding.Line, finding.Column, finding.Message = syntax.Line, syntax.Column, syntax.Problem
		finding.Source = sourceLine(document, syntax.Line)
	}
	finding.Subject = finding.Message
	return finding
}

func (l Linter) place(file string, object manifest.Object, one policy.Finding) Finding {
	about := identify(object.Value, l.Namespace)
	line, column := object.Locate(one.Err.Field)
	return Finding{
		Code: string(one.Code), Severity: one.Severity,
		File: file, Line: line, Column: column, Source: object.Source(line),
		Kind: about.kind, Namespace: about.namespace, Name: about.name,
		Path:    one.Err.Field,
		Message: message(one),
		Subject: one.Subject,
	}
}

// message is the sentence without the code, which has a place of its own.
func message(one policy.Finding) string {
	return strings.TrimSuffix(one.Err.ErrorBody(), fmt.Sprintf(" [%s]", one.Code))
}

func sourceLine(document manifest.Document, line int) string {
	text := document.Text
	for ; line > document.Line && text != nil; line-- {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimRight(string(first), "\r")
}

// Check returns what is wrong with one object as it would be stored, and whether this
// project has anything to say about its kind.
func (l Linter) Check(ctx context.Context, object map[string]any) (findings []policy.Finding, known bool) {
	about := identify(object, l.Namespace)
	examined, _ := l.Examine(ctx, object)
	findings, known = l.check(ctx, about, object, examined)
	return append(findings, misspelled(about, object)...), known
}

// check is [Linter.Check] without annotations at wrong places; examined is nil unless it is an APIRule, or
// asks for one.
func (l Linter) check(ctx context.Context, about identity, object map[string]any, examined *Examined) (findings []policy.Finding, known bool) {
	switch about.groupKind() {
	case apirule.Kind + "." + apirule.Group:
		return l.checkAPIRule(ctx, about, object, examined), true
	case istio.Kind + "." + istio.Group:
		if found := l.notServed(about); len(found) > 0 {
			return found, true
		}
		return append(l.checkIstio(object), l.refused(ctx, about, object)...), true
	case "Service", "Namespace":
		return l.checkAnnotations(about, object), true
	}
	findings = policy.CheckForeignAnnotations(about.kind, annotation.Of(object))
	return findings, len(findings) > 0
}

// checkIstio checks an Istio CR as if it were new, and for what it takes away or
// changes in the one that the cluster has. Faults are told whoever made them.
func (l Linter) checkIstio(object map[string]any) []policy.Finding {
	view := l.istio(object)
	facts := l.Source.IstioFacts(view.NamespacedName())
	facts.Now = l.Now
	found := policy.CheckIstio(nil, &view, facts)
	before, exists := l.Istios[view.NamespacedName()]
	if !exists {
		return found
	}
	for _, one := range policy.CheckIstio(&before, &view, facts) {
		if one.Code == policy.AuthorizerInUse || one.Code == policy.AuthorizerWidened {
			found = append(found, one)
		}
	}
	return found
}

// istio reads an Istio CR with what only a cluster knows about it: its age, which
// decides which CR is active, and its status.
func (l Linter) istio(object map[string]any) istio.View {
	view := istio.Parse(object)
	if !l.Complete {
		return view
	}
	if before, exists := l.Istios[view.NamespacedName()]; exists {
		view.Created, view.State, view.Description = before.Created, before.State, before.Description
	} else if view.Created == "" {
		view.Created = l.Now.UTC().Format(time.RFC3339)
	}
	return view
}

// checkAnnotations checks those of a Service or a Namespace.
func (l Linter) checkAnnotations(about identity, object map[string]any) []policy.Finding {
	kind, annotations, labels := annotation.Kind(about.kind), annotation.Of(object), annotation.LabelsOf(object)
	if kind == annotation.Namespace {
		labels = namespaceLabels(about.name, object)
	}
	facts := l.Source.OptOutFacts(kind, about.namespacedName(), labels)
	facts.Now = l.Now
	found := append(policy.CheckAnnotations(kind, annotations), policy.CheckOptOut(kind, about.namespacedName(), annotations, facts)...)
	return append(found, policy.CheckCallers(kind, about.namespacedName(), annotations, facts)...)
}

func (l Linter) checkAPIRule(ctx context.Context, about identity, object map[string]any, examined *Examined) []policy.Finding {
	if examined == nil {
		return append(checkVersion(about.apiVersion), l.refused(ctx, about, object)...)
	}
	if found := l.notServed(about); len(found) > 0 {
		return found
	}
	return append(examined.Findings, l.refusedAPIRule(ctx, about, examined)...)
}
