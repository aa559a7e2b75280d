// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"context"
	"errors"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/exposure"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// derive returns the APIRule that a Service asks for by annotation, as the
// controller would make it. It asks for none if its annotations cannot be read,
// which is a finding by itself. The error is an [exposure.Refusal].
func (l Linter) derive(object map[string]any) (open map[string]any, asks bool, err error) {
	annotations := annotation.Of(object)
	asked, errs := annotation.ParseExposure(annotations)
	if asked == nil || len(errs) > 0 || l.Gateway == "" {
		return nil, false, nil
	}
	request := exposure.Request{
		Service: identify(object, l.Namespace).namespacedName(), Ports: service(object).Ports, Annotations: annotations, Exposure: *asked,
	}
	open, err = request.Open(l.Gateway)
	return open, true, err
}

// exposed returns what is wrong with the APIRule that a Service asks for. The place
// of every finding is the annotation.
func (l Linter) exposed(ctx context.Context, file string, document manifest.Document, object manifest.Object) []Finding {
	about := identify(object.Value, l.Namespace)
	if about.groupKind() != "Service" {
		return nil
	}
	open, asks, err := l.derive(object.Value)
	if !asks {
		return nil
	}
	path := annotation.Path(annotation.Expose).String()
	line, column := object.Locate(path)
	at := Finding{File: file, Line: line, Column: column, Source: sourceLine(document, line), Kind: about.kind, Namespace: about.namespace, Name: about.name, Path: path}
	var found []Finding
	if err == nil {
		found, err = l.checkDerived(ctx, at, open)
	}
	if refusal, ok := errors.AsType[exposure.Refusal](err); ok {
		at.Code, at.Severity, at.Message, at.Subject = NotExposed, policy.Warn, string(refusal), string(refusal)
		found = append(found, at)
	}
	return found
}

// checkDerived checks a derived APIRule as it would be stored. The error says why
// there would be none although nothing is wrong with it.
func (l Linter) checkDerived(ctx context.Context, at Finding, open map[string]any) ([]Finding, error) {
	stored := l.stored(ctx, open)
	findings := l.CheckStored(ctx, stored)
	var found []Finding
	for _, one := range findings {
		finding := at
		finding.Code, finding.Severity, finding.Kind = string(one.Code), one.Severity, apirule.Kind
		finding.Path, finding.Message, finding.Subject = one.Err.Field, strings.TrimSpace(message(one)), one.Subject
		found = append(found, finding)
	}
	if policy.Denies(findings) {
		return found, nil
	}
	_, _, err := exposure.Protect(open, l.facts(ctx, stored), l.Settings)
	return found, err
}
