// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package profile has what an entry of the Istio CR needs for each authorizer that
// people use: the path that Envoy asks, the headers that travel, the port.
//
// It is a table of values with their sources. It reads and writes nothing, and it
// makes no sentence about a fault: package policy does.
package profile

import (
	"slices"
	"strings"
)

// Profile is one kind of authorizer. The zero value is no profile.
type Profile struct {
	// Name is what --profile takes, in lower case.
	Name string
	// Title is the product's name in a sentence.
	Title string
	// Source is the address of the documentation that the profile follows.
	Source string
	// Port is the one of the Service as the product's own chart makes it; 0 where an
	// entry cannot be used.
	Port int64
	// PathPrefix is what an entry puts before the path of a request; "" where an entry
	// cannot be used.
	PathPrefix string
	// Endpoint is how every usable pathPrefix begins; "" if others are usable too.
	Endpoint string
	// Requires are the headers that have to reach the authorizer, in lower case, by
	// headers.inCheck.include or headers.inCheck.add; nil if there are none.
	Requires []Requirement
	// Upstream are the headers of its answer that reach the workload, in lower case: who
	// somebody is. Nil if there are none.
	Upstream []string
	// GRPCOnly is true if it answers Envoy by gRPC and not by HTTP, which is all that
	// Kyma's Istio CR can set up.
	GRPCOnly bool
	// SignIn is true if people sign in with a browser. Oauth2-proxy has a profile for
	// each.
	SignIn bool

	// words are the parts of a Service's name by which the product is recognised: one of
	// them is enough.
	words []string
	// add are the headers that an entry adds to the check.
	add map[string]string
	// include are the headers of the client that travel.
	include []string
}

// Requirement is a header without which an authorizer lets nobody in.
type Requirement struct {
	// Header is in lower case.
	Header string
	// Because says what the authorizer does without it, as the end of a sentence.
	Because string
}

// all returns the profiles in the order in which they are recognised.
func all() []Profile {
	return []Profile{oauth2Proxy(), authelia(), authentik(), pomerium()}
}

// Names returns the names of the profiles, sorted.
func Names() []string {
	var names []string
	for _, one := range all() {
		names = append(names, one.Name)
	}
	slices.Sort(names)
	return names
}

// Find returns the profile of a name; false if there is none.
func Find(name string) (Profile, bool) {
	for _, one := range all() {
		if one.Name == name {
			return one, true
		}
	}
	return Profile{}, false
}

// Recognise returns the profile of an entry by what it asks: a pathPrefix that only one
// product has, or else the name of its Service, which is a likely sign and no proof. It
// is false for what looks like none of them.
func Recognise(service, pathPrefix string) (Profile, bool) {
	for _, one := range all() {
		if one.Endpoint != "" && strings.HasPrefix(pathPrefix, one.Endpoint) {
			return one, true
		}
	}
	if _, host, found := strings.Cut(service, "/"); found {
		service = host
	}
	name, _, _ := strings.Cut(service, ".")
	name = "-" + name + "-"
	for _, one := range all() {
		for _, word := range one.words {
			if strings.Contains(name, "-"+word+"-") {
				return one, true
			}
		}
	}
	return Profile{}, false
}

// Entry returns an entry of spec.config.authorizers, which shares nothing with other
// calls. A profile that is GRPCOnly has none: nil.
func (p Profile) Entry(name, host string, port int64, timeout string) map[string]any {
	if p.GRPCOnly {
		return nil
	}
	return map[string]any{
		"name": name, "service": host, "port": port, "pathPrefix": p.PathPrefix, "timeout": timeout, "headers": p.Headers(),
	}
}

// Headers returns the part headers of an entry, which shares nothing with other calls.
// Location travels to the client by itself with whatever else does (Envoy,
// ext_authz.proto, allowed_client_headers).
func (p Profile) Headers() map[string]any {
	check := map[string]any{"include": list(p.include)}
	if len(p.add) > 0 {
		add := map[string]any{}
		for header, value := range p.add {
			add[header] = value
		}
		check["add"] = add
	}
	if !p.SignIn {
		return map[string]any{"inCheck": check, "toDownstream": map[string]any{"onDeny": list([]string{"content-type"})}}
	}
	return map[string]any{
		"inCheck":    check,
		"toUpstream": map[string]any{"onAllow": list(p.Upstream)},
		"toDownstream": map[string]any{
			"onAllow": list([]string{"set-cookie"}),
			"onDeny":  list([]string{"content-type", "set-cookie"}),
		},
	}
}

func list(names []string) []any {
	out := make([]any, 0, len(names))
	for _, name := range names {
		out = append(out, name)
	}
	return out
}
