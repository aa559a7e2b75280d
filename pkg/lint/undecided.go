// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// PolicyUndecided is an APIRule that an ExtAuthPolicy may be about or not, because
// the labels of its namespace are not known. A cluster knows them all.
const PolicyUndecided = "PolicyUndecided"

// undecided says which ExtAuthPolicies are not held against an APIRule, or against
// the one that a Service asks for, although they may be about it.
func (l Linter) undecided(file string, object manifest.Object, examined *Examined) []Finding {
	if l.Complete || examined == nil {
		return nil
	}
	view, facts := examined.View, examined.Facts
	var names, unknown []string
	for _, one := range facts.Policies {
		if namespaces := one.Undecided(view, facts); len(namespaces) > 0 {
			names = append(names, one.Name)
			unknown = append(unknown, namespaces...)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(unknown)
	unknown = slices.Compact(unknown)
	const path = "metadata.namespace"
	line, column := object.Locate(path)
	about := identify(object.Value, l.Namespace)
	return []Finding{{
		Code: PolicyUndecided, Severity: policy.Deny,
		File: file, Line: line, Column: column, Source: object.Source(line),
		Kind: about.kind, Namespace: about.namespace, Name: about.name, Path: path,
		Message: fmt.Sprintf("cannot tell whether the ExtAuthPolicies %s are about this: they select namespaces by label, and the input lacks the Namespace %s; add its manifest, or read a cluster with --live",
			strings.Join(names, ", "), strings.Join(unknown, ", ")),
		Subject: strings.Join(unknown, ", "),
	}}
}

// unchecked is something that was not checked, and why.
type unchecked struct{ what, why string }

// unchecked returns what was not checked, in a fixed order.
func (s Summary) unchecked() []unchecked {
	var all []unchecked
	if s.Unchecked > 0 {
		all = append(all, unchecked{count(s.Unchecked, "reference", "references") + " to authorizers", s.Reason})
	}
	if s.Undecided > 0 {
		all = append(all, unchecked{
			count(s.Undecided, "object", "objects") + " against ExtAuthPolicies that select namespaces by label",
			"not in the input: Namespace " + strings.Join(s.Namespaces, ", "),
		})
	}
	return all
}

// skip counts a finding that says that something could not be checked, and is
// false for all others.
func (s *Summary) skip(finding Finding) bool {
	switch finding.Code {
	case string(policy.RegistryUnknown):
		s.Unchecked++
	case PolicyUndecided:
		s.Undecided++
		for namespace := range strings.SplitSeq(finding.Subject, ", ") {
			if at, known := slices.BinarySearch(s.Namespaces, namespace); !known {
				s.Namespaces = slices.Insert(s.Namespaces, at, namespace)
			}
		}
	default:
		return false
	}
	return true
}
