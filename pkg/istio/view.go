// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package istio reads the Istio CR of Kyma's Istio module and the mesh
// configuration that the module makes of it, and edits the CR's list of
// authorizers.
//
// The CR is read unstructured: one entry with a negative port or an unreadable
// timeout, which the CRD lets through, would fail the typed decoding of every
// CR in the cluster (Kyma istio, v1alpha2/authorizers.go).
package istio

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// Names of the Istio CR and of where it has to be.
const (
	Group    = "operator.kyma-project.io"
	Version  = "v1alpha2"
	Resource = "istios"
	Kind     = "Istio"
	// Namespace is the only namespace whose Istio CRs are reconciled.
	Namespace = "kyma-system"
)

// View is what this project needs to know of one Istio CR: plain values.
type View struct {
	Namespace string
	Name      string
	// Created is the creation timestamp as RFC 3339 text, which sorts by time.
	Created string
	// State is status.state: Processing, Deleting, Ready, Error or Warning.
	State string
	// Description is status.description, the module's own words.
	Description string
	// Annotations are those of the CR, of anybody.
	Annotations map[string]string
	// Authorizers are the entries of spec.config.authorizers, in their order.
	Authorizers []Authorizer
}

// Authorizer is one entry of spec.config.authorizers. Parts that are absent or
// of the wrong type are zero.
type Authorizer struct {
	// Index is the position in the list.
	Index int
	Name  string
	// Service is the host name of the authorizer, perhaps with "namespace/".
	Service    string
	Port       int64
	PathPrefix string
	// Timeout is a Go duration as text; "" for Istio's default of 600 s.
	Timeout string
	// EmptyTimeout is true for a timeout that is there and empty, which the module
	// cannot read; one that is not there is fine.
	EmptyTimeout bool
	// BareWildcards are the places of the headers that are nothing but "*", below the
	// entry: "headers.toDownstream.onDeny[0]".
	BareWildcards []string
	// UpstreamOnAllow are the headers of the answer that reach the workload, as they are
	// written: names, "x-*" or "*-x".
	UpstreamOnAllow []string
	// Include are the headers of the client that the authorizer gets, as they are written,
	// and Add the names of those that are added to the check.
	Include, Add []string
	// Mistyped are the fields that are there with a value of the wrong type.
	Mistyped []string
	// Malformed is true for an entry that is not an object or lacks a name of
	// type string; it has no meaning, and is left as it is.
	Malformed bool
}

// Field returns the field path of the entry.
func (a Authorizer) Field() *field.Path {
	return field.NewPath("spec", "config", "authorizers").Index(a.Index)
}

// Backend returns the Kubernetes Service behind the authorizer, when its host
// is that of one: name.namespace.svc and anything after it. Istio itself does
// not know short names here, so "name" alone has no backend.
func (a Authorizer) Backend() (types.NamespacedName, bool) {
	host := a.Service
	if _, rest, found := strings.Cut(host, "/"); found {
		host = rest
	}
	parts := strings.SplitN(host, ".", 4)
	if len(parts) < 3 || parts[2] != "svc" || parts[0] == "" || parts[1] == "" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: parts[1], Name: parts[0]}, true
}

// NamespacedName returns the name of the object.
func (v View) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: v.Namespace, Name: v.Name}
}

// Parse reads an Istio CR. It never fails and never changes object: what is
// malformed reads as absent, and each entry of the list keeps its place.
func Parse(object map[string]any) View {
	metadata, _ := object["metadata"].(map[string]any)
	status, _ := object["status"].(map[string]any)
	view := View{
		Namespace:   text(metadata, "namespace"),
		Name:        text(metadata, "name"),
		Created:     text(metadata, "creationTimestamp"),
		State:       text(status, "state"),
		Description: text(status, "description"),
		Annotations: annotation.Of(object),
	}
	for i, entry := range authorizers(object) {
		view.Authorizers = append(view.Authorizers, parseAuthorizer(i, entry))
	}
	return view
}

// Active returns the CR that the module reconciles: the oldest in kyma-system,
// of equally old ones the last by name, because the module takes the later in the
// API server's list, which is in the order of names (Kyma istio,
// istio_controller.go). The order of views does not matter. There is none if no
// CR is in that namespace.
func Active(views []View) (View, bool) {
	var active View
	found := false
	for _, view := range views {
		if view.Namespace != Namespace {
			continue
		}
		if !found || supersedes(view, active) {
			active, found = view, true
		}
	}
	return active, found
}

func supersedes(view, active View) bool {
	if view.Created != active.Created {
		return view.Created < active.Created
	}
	return view.Name >= active.Name
}

func authorizers(object map[string]any) []any {
	spec, _ := object["spec"].(map[string]any)
	config, _ := spec["config"].(map[string]any)
	entries, _ := config["authorizers"].([]any)
	return entries
}

func parseAuthorizer(index int, entry any) Authorizer {
	object, _ := entry.(map[string]any)
	name, named := object["name"].(string)
	authorizer := Authorizer{
		Index:      index,
		Name:       name,
		Service:    text(object, "service"),
		PathPrefix: text(object, "pathPrefix"),
		Timeout:    text(object, "timeout"),
		Malformed:  !named,
	}
	authorizer.Port, _ = object["port"].(int64)
	timeout, present := object["timeout"]
	authorizer.EmptyTimeout = present && timeout == ""
	authorizer.BareWildcards = bareWildcards(object)
	authorizer.UpstreamOnAllow, _, _ = unstructured.NestedStringSlice(object, "headers", "toUpstream", "onAllow")
	authorizer.Include, _, _ = unstructured.NestedStringSlice(object, "headers", "inCheck", "include")
	add, _, _ := unstructured.NestedStringMap(object, "headers", "inCheck", "add")
	authorizer.Add = slices.Sorted(maps.Keys(add))
	authorizer.Mistyped = mistyped(object)
	return authorizer
}

// mistyped returns the fields of an entry that have the wrong type; null is absent.
func mistyped(object map[string]any) []string {
	var found []string
	for _, key := range []string{"pathPrefix", "service", "timeout"} {
		if value := object[key]; value != nil {
			if _, ok := value.(string); !ok {
				found = append(found, key)
			}
		}
	}
	if port := object["port"]; port != nil {
		if _, ok := port.(int64); !ok {
			found = append(found, "port")
		}
	}
	return found
}

// bareWildcards returns the places of headers that are nothing but "*".
func bareWildcards(object map[string]any) []string {
	headers, _ := object["headers"].(map[string]any)
	var found []string
	for _, list := range [][2]string{{"inCheck", "include"}, {"toUpstream", "onAllow"}, {"toDownstream", "onAllow"}, {"toDownstream", "onDeny"}} {
		group, _ := headers[list[0]].(map[string]any)
		entries, _ := group[list[1]].([]any)
		for i, entry := range entries {
			if entry == "*" {
				found = append(found, fmt.Sprintf("headers.%s.%s[%d]", list[0], list[1], i))
			}
		}
	}
	return found
}

func text(object map[string]any, key string) string {
	value, _ := object[key].(string)
	return value
}
