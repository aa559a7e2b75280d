// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate turns what protected an application before into an APIRule v2
// that this project protects: an APIRule v1beta1, or an Ingress of ingress-nginx
// with an auth-url.
//
// It never makes anything more open than it was: what cannot be carried over is
// left out, and each such loss is a [Note].
package migrate

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// Options are the choices of a migration.
type Options struct {
	// Gateway is that of APIRules that are made of an Ingress, as
	// namespace/name.
	Gateway string
	// Authorizers are named in the annotation of the APIRule; empty leaves the
	// choice to the configuration of the webhook.
	Authorizers []string
	// Port returns the number of a named port of a Service, if it is known. It
	// may be nil.
	Port func(namespace, service, port string) (int64, bool)
}

// Note is something that was not carried over, or should be looked at.
type Note struct {
	// Path is the field of the source that it is about.
	Path string
	// Text says in a sentence what was lost and what to do.
	Text string
}

// Result is what one object became.
type Result struct {
	// APIRules are the objects to apply; there may be none.
	APIRules []map[string]any
	Notes    []Note
}

// Object migrates one decoded object. It is false for an object that is neither
// of the two kinds; the object is not changed.
func Object(object map[string]any, options Options) (Result, bool) {
	version, kind := text(object, "apiVersion"), text(object, "kind")
	switch {
	case kind == apirule.Kind && version == apirule.Group+"/v1beta1":
		return migrateAPIRule(object, options), true
	case kind == "Ingress" && strings.HasPrefix(version, "networking.k8s.io/"):
		return migrateIngress(object, options), true
	}
	return Result{}, false
}

// note adds a note.
func (r *Result) note(path, format string, args ...any) {
	r.Notes = append(r.Notes, Note{Path: path, Text: fmt.Sprintf(format, args...)})
}

// apiRule makes an APIRule with the metadata of what it comes from.
func apiRule(from map[string]any, name string, protect bool, options Options, spec map[string]any) map[string]any {
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
		if !foreignOnly(key) {
			annotations[key] = value
		}
	}
	if protect {
		if len(options.Authorizers) > 0 {
			annotations[annotation.Authorizers] = strings.Join(options.Authorizers, ",")
		} else {
			annotations[annotation.Inject] = "true"
		}
	}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return map[string]any{"apiVersion": apirule.Group + "/v2", "kind": apirule.Kind, "metadata": metadata, "spec": spec}
}

// foreignOnly is true for annotations that mean something on the source alone:
// kubectl's copy of it, and what Kyma's conversion and ingress-nginx keep there.
func foreignOnly(key string) bool {
	return key == "kubectl.kubernetes.io/last-applied-configuration" ||
		strings.HasPrefix(key, apirule.Group+"/") || strings.HasPrefix(key, nginx)
}

// validPath and validHost are what the CRD of APIRule v2 accepts (Kyma
// api-gateway 3.10, apis/gateway/v2/apirule_types.go), the host without the
// lengths of its parts.
var (
	validPath = regexp.MustCompile(`^((/([A-Za-z0-9\-._~!$&'()+,;=:@]|%[0-9a-fA-F]{2})*)|(/\{\*{1,2}\}))+$|^/\*$`)
	validHost = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?|(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]{2,63})$`)
)

// allMethods are those that an Ingress lets through; TRACE and CONNECT, which
// APIRules know too, are of no use to an application.
func allMethods() []any {
	return []any{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
}

func object(from map[string]any, key string) map[string]any {
	value, _ := from[key].(map[string]any)
	return value
}

func list(from map[string]any, key string) []any {
	value, _ := from[key].([]any)
	return value
}

func text(from map[string]any, key string) string {
	value, _ := from[key].(string)
	return value
}

func texts(from map[string]any, key string) []string {
	var all []string
	for _, entry := range list(from, key) {
		if one, ok := entry.(string); ok {
			all = append(all, one)
		}
	}
	return all
}

func sortedKeys(of map[string]any) []string {
	return slices.Sorted(maps.Keys(of))
}

func anys(of []string) []any {
	all := make([]any, 0, len(of))
	for _, one := range of {
		all = append(all, one)
	}
	return all
}
