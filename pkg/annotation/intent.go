// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
)

// Strategies is the set of access strategies that injection may replace. The
// zero value is the empty set.
type Strategies struct {
	NoAuth bool
	JWT    bool
}

// Intent is what the annotations of one object ask for. Each part is nil where
// the object says nothing about it, so that a farther object may.
type Intent struct {
	// Inject is what the object says about injection; an object that names
	// authorizers and does not say "false" says true.
	Inject *bool
	// Authorizers are the names to inject, in the author's order. Never empty
	// when not nil.
	Authorizers []string
	// Replace is what injection may replace.
	Replace *Strategies
}

// Parse reads the Intent from the annotations of an object of the given kind. A
// malformed value or an unknown key under [Prefix] yields errors, sorted by key
// and with the path of the annotation, and a zero Intent: a typo must never be
// read as "not asked for". Other people's annotations are not looked at.
func Parse(kind Kind, annotations map[string]string) (Intent, field.ErrorList) {
	var intent Intent
	var errs field.ErrorList
	for _, key := range ownKeys(annotations) {
		value, path := annotations[key], Path(key)
		switch {
		case !slices.Contains(keysByKind[kind], key):
			errs = append(errs, unknownKey(kind, path, key))
		case key == Inject:
			inject, err := parseBool(path, value)
			intent.Inject, errs = inject, appendError(errs, err)
		case key == Authorizers:
			names, bad := ParseNames(path, value)
			intent.Authorizers, errs = names, append(errs, bad...)
		case key == Replace:
			replace, bad := parseStrategies(path, value)
			intent.Replace, errs = replace, append(errs, bad...)
		}
	}
	if len(errs) > 0 {
		return Intent{}, errs
	}
	if intent.Inject == nil && intent.Authorizers != nil {
		asked := true
		intent.Inject = &asked
	}
	return intent, nil
}

// Path returns the field path of an annotation.
func Path(key string) *field.Path {
	return field.NewPath("metadata", "annotations").Key(key)
}

// ParseNames reads a comma-separated list of authorizer names. Blanks around a
// name are not part of it. An empty list, an empty or repeated entry, and a
// name that istiod would not take as the name of a provider are errors at path:
// Istio 1.30 and later accept lower-case DNS labels only (pilot
// security/authz/builder/extauthz.go, validateProviderName).
func ParseNames(path *field.Path, value string) ([]string, field.ErrorList) {
	var names []string
	var errs field.ErrorList
	if strings.TrimSpace(value) == "" {
		return nil, field.ErrorList{field.Invalid(path, value, "must name at least one authorizer, for example \"oauth2-proxy\"")}
	}
	for entry := range strings.SplitSeq(value, ",") {
		name := strings.TrimSpace(entry)
		switch {
		case name == "":
			errs = append(errs, field.Invalid(path, value, "has an empty entry; separate names by single commas"))
		case slices.Contains(names, name):
			errs = append(errs, field.Invalid(path, value, fmt.Sprintf("names %q twice; name each authorizer once", name)))
		case len(validation.IsDNS1123Label(name)) > 0:
			errs = append(errs, field.Invalid(path, value, fmt.Sprintf(
				"%q is not a name that an authorizer can have; use up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit", name)))
		default:
			names = append(names, name)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return names, nil
}

func ownKeys(annotations map[string]string) []string {
	var keys []string
	for key := range annotations {
		if Ours(key) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

func unknownKey(kind Kind, path *field.Path, key string) *field.Error {
	known := Keys(kind)
	detail := fmt.Sprintf("unknown annotation on %s %s; known here: %s", article(kind), kind, strings.Join(known, ", "))
	if near := suggest.Nearest(key, known); near != "" {
		detail += fmt.Sprintf("; did you mean %q?", near)
	}
	return field.Invalid(path, key, detail)
}

func article(kind Kind) string {
	if kind == APIRule || kind == Istio {
		return "an"
	}
	return "a"
}

func parseBool(path *field.Path, value string) (*bool, *field.Error) {
	if value != "true" && value != "false" {
		return nil, field.Invalid(path, value, `must be "true" or "false"`)
	}
	asked := value == "true"
	return &asked, nil
}

func parseStrategies(path *field.Path, value string) (*Strategies, field.ErrorList) {
	var set Strategies
	for entry := range strings.SplitSeq(value, ",") {
		var member *bool
		switch strings.TrimSpace(entry) {
		case "noAuth":
			member = &set.NoAuth
		case "jwt":
			member = &set.JWT
		}
		if member == nil || *member {
			return nil, field.ErrorList{field.Invalid(path, value, `must be "noAuth", "jwt" or "noAuth,jwt"`)}
		}
		*member = true
	}
	return &set, nil
}

func appendError(errs field.ErrorList, err *field.Error) field.ErrorList {
	if err == nil {
		return errs
	}
	return append(errs, err)
}
