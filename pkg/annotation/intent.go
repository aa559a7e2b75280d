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

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
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
	// Callers are who inside the mesh may call.
	Callers *Callers
	// AllowFrom are the namespaces whose APIRules may expose the Service.
	AllowFrom []string
}

// Parse reads the Intent from the annotations of an object of the given kind. A
// malformed value or an unknown key under [Prefix] yields errors, sorted by key
// and with the path of the annotation, and a zero Intent: a typo must never be
// read as "not asked for". Other people's annotations are not looked at.
//
// What it costs is bounded, because everybody who may write the object chooses
// the annotations: at most [MaxKeys] keys are read, of no value more than
// [MaxValue] bytes, and an error quotes at most 64 bytes of a value.
func Parse(kind Kind, annotations map[string]string) (Intent, field.ErrorList) {
	var intent Intent
	var errs field.ErrorList
	keys := ownKeys(annotations)
	if len(keys) > MaxKeys {
		return Intent{}, field.ErrorList{tooManyKeys(kind, keys)}
	}
	for _, key := range keys {
		value, path := annotations[key], Path(key)
		switch {
		case !slices.Contains(keysByKind[kind], key):
			errs = append(errs, unknownKey(kind, path, key))
		case unquoted(value) != "":
			errs = append(errs, invalid(path, value, unquoted(value)))
		default:
			errs = append(errs, intent.read(key, path, value)...)
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

// read reads one value. Keys that mean something else to other packages are passed
// over.
func (i *Intent) read(key string, path *field.Path, value string) (errs field.ErrorList) {
	switch key {
	case Inject:
		var err *field.Error
		i.Inject, err = parseBool(path, value)
		errs = appendError(nil, err)
	case Authorizers:
		i.Authorizers, errs = ParseNames(path, value)
	case AllowFrom:
		i.AllowFrom, errs = parseList(path, value, "a namespace")
	case Replace:
		i.Replace, errs = parseStrategies(path, value)
	case InternalCallers:
		i.Callers, errs = ParseCallers(path, value)
	}
	return errs
}

// Path returns the field path of an annotation. A key that is longer than any
// that the API server takes is cut.
func Path(key string) *field.Path {
	const longest = 63 + len("/") + 253 // k8s.io/apimachinery, util/validation, IsQualifiedName
	if len(key) > longest {
		key = bound.Text(key)
	}
	return field.NewPath("metadata", "annotations").Key(key)
}

const (
	// MaxKeys is how many annotations under [Prefix] an object may have. No kind
	// knows half as many.
	MaxKeys = 32
	// MaxValue is how long the value of an annotation may be, in bytes.
	MaxValue = 4096
	// MaxNames is how many authorizers or namespaces an annotation may name. istiod
	// takes one authorizer for each workload, unless several are enabled.
	MaxNames = 16
)

// ParseNames reads a comma-separated list of authorizer names. Blanks around a
// name are not part of it. An empty list, an empty or repeated entry, and a
// name that istiod would not take as the name of a provider are errors at path:
// Istio 1.30 and later accept lower-case DNS labels only (pilot
// security/authz/builder/extauthz.go, validateProviderName).
//
// A value of more than [MaxValue] bytes or [MaxNames] names is one error and is
// not read any further.
func ParseNames(path *field.Path, value string) ([]string, field.ErrorList) {
	return parseList(path, value, "an authorizer")
}

// parseList reads a comma-separated list of DNS labels, each the name of a thing.
func parseList(path *field.Path, value, thing string) ([]string, field.ErrorList) {
	if problem := unreadable(value); problem != "" {
		return nil, field.ErrorList{invalid(path, value, problem)}
	}
	var names []string
	var errs field.ErrorList
	for entry := range strings.SplitSeq(value, ",") {
		name := strings.TrimSpace(entry)
		switch {
		case name == "":
			errs = append(errs, invalid(path, value, "has an empty entry; separate names by single commas"))
		case slices.Contains(names, name):
			errs = append(errs, invalid(path, value, fmt.Sprintf("names %q twice; each name may appear once", name)))
		case len(validation.IsDNS1123Label(name)) > 0:
			errs = append(errs, invalid(path, value, fmt.Sprintf(
				"%q is not a name that %s can have; use up to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit", bound.Text(name), thing)))
		default:
			names = append(names, name)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return names, nil
}

// unreadable says why a list of names is not read at all, or "".
func unreadable(value string) string {
	switch {
	case unquoted(value) != "":
		return unquoted(value)
	case len(value) > MaxValue:
		return fmt.Sprintf("has %d bytes; at most %d are read", len(value), MaxValue)
	case strings.TrimSpace(value) == "":
		return `must name at least one authorizer, for example "oauth2-proxy"`
	case strings.Count(value, ",") >= MaxNames:
		return fmt.Sprintf("has %d entries; name at most %d authorizers", strings.Count(value, ",")+1, MaxNames)
	}
	return ""
}

// invalid is [field.Invalid] with a value that is short enough to be quoted.
func invalid(path *field.Path, value, detail string) *field.Error {
	return field.Invalid(path, bound.Text(value), detail)
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

func tooManyKeys(kind Kind, keys []string) *field.Error {
	return field.Invalid(field.NewPath("metadata", "annotations"), bound.List(keys),
		fmt.Sprintf("%d annotations start with %s; %s %s knows these: %s", len(keys), Prefix, article(kind), kind, strings.Join(Keys(kind), ", ")))
}

func unknownKey(kind Kind, path *field.Path, key string) *field.Error {
	known := Keys(kind)
	detail := fmt.Sprintf("unknown annotation on %s %s; known here: %s", article(kind), kind, strings.Join(known, ", "))
	if near := suggest.Nearest(key, known); near != "" {
		detail += fmt.Sprintf("; did you mean %q?", near)
	}
	return invalid(path, key, detail)
}

func article(kind Kind) string {
	if kind == APIRule || kind == Istio {
		return "an"
	}
	return "a"
}

func parseBool(path *field.Path, value string) (*bool, *field.Error) {
	if value != "true" && value != "false" {
		return nil, invalid(path, value, `must be "true" or "false"`)
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
			return nil, field.ErrorList{invalid(path, value, `must be "noAuth", "jwt" or "noAuth,jwt"`)}
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
