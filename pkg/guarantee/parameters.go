// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package guarantee knows what the API server's own admission policies are told about
// the cluster: a ConfigMap that the leader keeps and that the ValidatingAdmissionPolicies
// of the chart take as their parameter.
//
// It is a ConfigMap and no kind of our own: its kind is always served, so no missing CRD
// can make a policy refuse every write, and the chart can create it, empty, so that the
// permission to write it is bound to one name. The price is that the API server keeps
// its ConfigMaps in memory once more.
package guarantee

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// ConfigMap is the name of the ConfigMap, in the namespace of the release.
const ConfigMap = "extauth-guard-guarantee"

// Keys of the ConfigMap. No name of a namespace, a Service or an authorizer has a dot,
// so that the keys with a prefix are read in one way only.
const (
	// Registry names where authorizers are registered, as in [policy.Registry.Origin].
	// Absent: it is not known which are.
	Registry = "registry"
	// Unknown says why it is not known.
	Unknown = "unknown"
	// UnknownRegistry is "Warn" where an APIRule is admitted while the registry is not
	// known. Absent: it is refused.
	UnknownRegistry = "unknownRegistry"
	// Authorizers are the registered names, separated by commas.
	Authorizers = "authorizers"
	// DefaultAuthorizers are those that are injected where nobody names any.
	DefaultAuthorizers = "defaultAuthorizers"
	// Invalid, with the name of an authorizer, says what the mesh does not take of it.
	Invalid = "invalid."
	// Frontend, with a namespace, a dot and a Service, has the port of the authorizer
	// behind that Service.
	Frontend = "frontend."
	// Service, with a namespace, a dot and a Service, has what its annotations ask for,
	// see [Intent].
	Service = "service."
)

// The parts of an [Intent].
const (
	InjectTrue  = "inject=true"
	InjectFalse = "inject=false"
	Replace     = "replace="
)

const (
	// maxAuthorizers is how many authorizers are published. With more, the registry
	// counts as not known: half of it would refuse what is right.
	maxAuthorizers = 1000
	// maxServices is how many Services are published, in the order of their names, so
	// that the object fits into etcd. The others count as Services that ask for nothing.
	maxServices = 2000
)

// Known is what the leader knows.
type Known struct {
	Registry policy.Registry
	Settings policy.Settings
	// Services are those with annotations of this project.
	Services map[types.NamespacedName]policy.Service
}

// Parameters returns the content of the ConfigMap. The same knowledge gives the same
// content.
func Parameters(known Known) map[string]string {
	data := map[string]string{DefaultAuthorizers: strings.Join(known.Settings.DefaultAuthorizers, ",")}
	if known.Settings.UnknownRegistry != policy.Deny {
		data[UnknownRegistry] = "Warn"
	}
	addRegistry(data, known.Registry)
	names := slices.SortedFunc(maps.Keys(known.Services), func(a, b types.NamespacedName) int {
		return strings.Compare(a.String(), b.String())
	})
	for _, name := range names[:min(len(names), maxServices)] {
		if intent := Intent(known.Services[name]); intent != "" {
			data[Service+name.Namespace+"."+name.Name] = intent
		}
	}
	return data
}

func addRegistry(data map[string]string, registry policy.Registry) {
	names := slices.DeleteFunc(slices.Clone(registry.Names()), func(name string) bool {
		return len(validation.IsDNS1123Label(name)) > 0 // istiod takes no such name
	})
	switch {
	case !registry.Known:
		data[Unknown] = bound.Text(registry.Reason)
		return
	case len(names) > maxAuthorizers:
		data[Unknown] = strconv.Itoa(len(names)) + " authorizers are too many to be published"
		return
	}
	data[Registry], data[Authorizers] = registry.Origin, strings.Join(names, ",")
	for _, name := range names {
		if refusal := registry.Refusal(name); refusal != "" {
			data[Invalid+name] = refusal
		}
	}
	for service, port := range Frontends(registry) {
		data[Frontend+service.Namespace+"."+service.Name] = strconv.FormatInt(port, 10)
	}
}

// Frontends returns the Services of the registered authorizers with the ports under
// which they are registered. A rule that leads to one has to be open.
func Frontends(registry policy.Registry) map[types.NamespacedName]int64 {
	frontends := map[types.NamespacedName]int64{}
	for _, name := range registry.Names() {
		authorizer, _ := registry.Authorizer(name)
		service, found := authorizer.Backend()
		if !found || len(validation.IsDNS1123Label(service.Namespace)) > 0 || len(validation.IsDNS1123Label(service.Name)) > 0 {
			continue
		}
		authorizer, _ = registry.Authorizer(registry.Behind(service)) // of several, the one that counts
		frontends[service] = authorizer.Port
	}
	return frontends
}

// Intent returns what the annotations of a Service ask for: [InjectTrue] or
// [InjectFalse], and [Replace] with the strategies, each if it is there, separated by a
// blank. It is "" for a Service that asks for nothing or whose annotations cannot be read.
func Intent(service policy.Service) string {
	intent, errs := annotation.Parse(annotation.Service, service.Annotations)
	if len(errs) > 0 {
		return ""
	}
	var parts []string
	if intent.Inject != nil {
		parts = append(parts, InjectFalse)
		if *intent.Inject {
			parts[0] = InjectTrue
		}
	}
	if intent.Replace != nil {
		parts = append(parts, Replace+service.Annotations[annotation.Replace])
	}
	return strings.Join(parts, " ")
}
