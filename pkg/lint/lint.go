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
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/registry"
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

	// Unreadable is how many of the denials are documents or files that are no
	// manifests.
	Unreadable int `json:"-"`
	// Reason says why references are unchecked.
	Reason string `json:"-"`
	// Namespaces are those whose labels would decide, sorted.
	Namespaces []string `json:"-"`
}

// Linter checks objects. Source must be set.
type Linter struct {
	// Source has what is known; files are collected into it by [Linter.Collect].
	Source   registry.Source
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
		for document, err := range file.Documents() {
			if err := ctx.Err(); err != nil {
				return summary, err
			}
			findings, objects := l.document(ctx, file.Name, document, err)
			summary.Objects += objects
			for _, finding := range findings {
				if !l.Strict && summary.skip(finding) {
					continue
				}
				summary.count(finding)
				if err := printer.Print(finding); err != nil {
					return summary, fmt.Errorf("printing a finding: %w", err)
				}
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

func (l Linter) document(ctx context.Context, file string, document manifest.Document, err error) (findings []Finding, objects int) {
	var parsed []manifest.Object
	if err == nil {
		parsed, err = document.Parse()
	}
	if err != nil {
		return []Finding{unreadable(file, document, err)}, 0
	}
	for _, object := range parsed {
		found, known := l.Check(ctx, object.Value)
		if known {
			objects++
		}
		for _, one := range found {
			findings = append(findings, l.place(file, document, object, one))
		}
		findings = append(findings, l.exposed(ctx, file, document, object)...)
		findings = append(findings, l.undecided(ctx, file, document, object)...)
	}
	return findings, objects
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

func (l Linter) place(file string, document manifest.Document, object manifest.Object, one policy.Finding) Finding {
	about := identify(object.Value, l.Namespace)
	line, column := object.Locate(one.Err.Field)
	return Finding{
		Code: string(one.Code), Severity: one.Severity,
		File: file, Line: line, Column: column, Source: sourceLine(document, line),
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

// Check returns what is wrong with one object as it would be stored, and whether
// this project has anything to say about its kind.
func (l Linter) Check(ctx context.Context, object map[string]any) (findings []policy.Finding, known bool) {
	about := identify(object, l.Namespace)
	switch about.groupKind() {
	case apirule.Kind + "." + apirule.Group:
		return l.checkAPIRule(ctx, about, object), true
	case istio.Kind + "." + istio.Group:
		return l.checkIstio(object), true
	case "Service", "Namespace":
		return l.checkAnnotations(about, object), true
	}
	findings = policy.CheckForeignAnnotations(about.kind, annotation.Of(object))
	return findings, len(findings) > 0
}

// checkIstio checks an Istio CR as if it were new, and for what it takes away from
// the one that the cluster has. Faults are told whoever made them.
func (l Linter) checkIstio(object map[string]any) []policy.Finding {
	view := l.istio(object)
	facts := l.Source.IstioFacts(view.NamespacedName())
	found := policy.CheckIstio(nil, &view, facts)
	before, exists := l.Istios[view.NamespacedName()]
	if !exists {
		return found
	}
	for _, one := range policy.CheckIstio(&before, &view, facts) {
		if one.Code == policy.AuthorizerInUse {
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
	return append(policy.CheckAnnotations(kind, annotations), policy.CheckOptOut(kind, about.namespacedName(), annotations, facts)...)
}

func (l Linter) checkAPIRule(ctx context.Context, about identity, object map[string]any) []policy.Finding {
	if found := policy.CheckVersion(about.apiVersion); len(found) > 0 {
		return found
	}
	return l.CheckStored(ctx, l.stored(ctx, object))
}

// Stored returns an APIRule as the webhook would have it stored, or the one that a
// Service asks for by annotation; it is false for every other object, and for an
// APIRule v1beta1.
func (l Linter) Stored(ctx context.Context, object map[string]any) (apirule.View, bool) {
	about := identify(object, l.Namespace)
	if about.groupKind() == "Service" {
		open, asks, err := l.derive(object)
		if !asks || err != nil {
			return apirule.View{}, false
		}
		return l.stored(ctx, open), true
	}
	if about.groupKind() != apirule.Kind+"."+apirule.Group || len(policy.CheckVersion(about.apiVersion)) > 0 {
		return apirule.View{}, false
	}
	return l.stored(ctx, object), true
}

func (l Linter) stored(ctx context.Context, object map[string]any) apirule.View {
	view := apirule.Parse(object, l.Namespace)
	// What the mutating webhook refuses, the validating one refuses too: Check
	// reports every annotation that Inject could not read.
	injected, err := inject(object, view, l.Namespace, policy.Inject(view, l.facts(ctx, view), l.Settings).Edits)
	if err != nil { // cannot happen: the edits are those of this object
		return view
	}
	return injected
}

// CheckStored returns what is wrong with an APIRule as it is stored.
func (l Linter) CheckStored(ctx context.Context, view apirule.View) []policy.Finding {
	var kept []policy.Finding
	for _, finding := range policy.Check(view, l.facts(ctx, view), l.Settings) {
		if l.Complete || !concludesFromAbsence(finding.Code) {
			kept = append(kept, finding)
		}
	}
	return kept
}

func (l Linter) facts(ctx context.Context, view apirule.View) policy.Facts {
	facts := l.Source.Facts(ctx, view)
	facts.Now = l.Now
	if !l.Complete {
		facts.Backends = nil
	}
	return facts
}

// concludesFromAbsence is true for findings that something is not there, or is
// the first of its kind, which only a whole cluster can tell.
func concludesFromAbsence(code policy.Code) bool {
	return code == policy.ServiceNotFound || code == policy.InternalTrafficBlocked
}

// inject returns the view of the object as the mutating webhook would leave it.
func inject(object map[string]any, view apirule.View, namespace string, edits apirule.Edits) (apirule.View, error) {
	if edits.Empty() {
		return view, nil
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return apirule.View{}, fmt.Errorf("encoding the APIRule: %w", err)
	}
	patched, err := apirule.Apply(raw, apirule.JSONPatch(view, edits))
	if err != nil {
		return apirule.View{}, err
	}
	var after map[string]any
	if err := utiljson.Unmarshal(patched, &after); err != nil {
		return apirule.View{}, fmt.Errorf("reading the injected APIRule: %w", err)
	}
	return apirule.Parse(after, namespace), nil
}
