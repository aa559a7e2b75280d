// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"errors"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/expose"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// derive returns the APIRule that a Service asks for by annotation, as the
// controller would make it. It asks for none if its annotations cannot be read,
// which is a finding by itself. The error is an [expose.Refusal].
func (l Linter) derive(object map[string]any) (open map[string]any, asks bool, err error) {
	annotations := annotation.Of(object)
	asked, errs := annotation.ParseExposure(annotations)
	if asked == nil || len(errs) > 0 || l.Gateway == "" {
		return nil, false, nil
	}
	request := expose.Request{
		Service: identify(object, l.Namespace).namespacedName(), Ports: service(object).Ports, Annotations: annotations, Exposure: *asked,
	}
	open, err = request.Open(l.Gateway)
	return open, true, err
}

// exposed returns what is wrong with the APIRule that a Service asks for. The place
// of every finding is the annotation.
func (l Linter) exposed(file string, object manifest.Object, examined *Examined) []Finding {
	about := identify(object.Value, l.Namespace)
	if about.groupKind() != "Service" {
		return nil
	}
	_, asks, err := l.derive(object.Value)
	if !asks {
		return nil
	}
	path := annotation.Path(annotation.Expose).String()
	line, column := object.Locate(path)
	at := Finding{File: file, Line: line, Column: column, Source: object.Source(line), Kind: about.kind, Namespace: about.namespace, Name: about.name, Path: path}
	var found []Finding
	if err == nil {
		found, err = l.checkDerived(at, examined)
	}
	if refusal, ok := errors.AsType[expose.Refusal](err); ok {
		at.Code, at.Severity, at.Message, at.Subject = NotExposed, policy.Warn, string(refusal), string(refusal)
		found = append(found, at)
	}
	return found
}

// checkDerived checks a derived APIRule as it would be stored. The error says why
// there would be none although nothing is wrong with it.
func (l Linter) checkDerived(at Finding, examined *Examined) ([]Finding, error) {
	var found []Finding
	for _, one := range examined.Findings {
		finding := at
		finding.Code, finding.Severity, finding.Kind = string(one.Code), one.Severity, apirule.Kind
		finding.Path, finding.Message, finding.Subject = one.Err.Field, strings.TrimSpace(message(one)), one.Subject
		found = append(found, finding)
	}
	if policy.Denies(examined.Findings) {
		return found, nil
	}
	_, _, err := expose.Protect(examined.object, examined.Facts, l.Settings)
	return found, err
}
