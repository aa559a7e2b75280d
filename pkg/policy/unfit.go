// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

// misfit is one thing of an entry that the authorizer behind it cannot work with,
// although the mesh takes it.
type misfit struct {
	// field is below the entry.
	field, value, problem, brief string
}

// misfits returns what does not fit the authorizer that an entry looks like; nothing for
// one that looks like none that is known.
func misfits(entry istio.Authorizer) []misfit {
	known, found := profile.Recognise(entry.Service, entry.PathPrefix)
	switch {
	case !found:
		return nil
	case known.GRPCOnly:
		return []misfit{{"service", entry.Service, RefuseProfile(known), known.Title + " answers by gRPC only"}}
	case known.Endpoint == "":
		return ownPath(entry, known)
	case !strings.HasPrefix(entry.PathPrefix, known.Endpoint):
		return []misfit{{
			"pathPrefix", entry.PathPrefix,
			fmt.Sprintf("this looks like %s, whose endpoint for Envoy begins with %s; elsewhere it answers with pages of its own, and one with 200 lets the request in; set pathPrefix to %q",
				known.Title, known.Endpoint, known.PathPrefix),
			fmt.Sprintf("%s is asked outside %s", known.Title, known.Endpoint),
		}}
	}
	return missingHeaders(entry, known)
}

// ownPath reports an entry that asks an oauth2-proxy for one of its own paths, whatever
// the request: /oauth2/auth answers 202, which Envoy denies, and the others answer
// everybody with 200 (oauth2-proxy 7.15, oauthproxy.go, buildServeMux).
func ownPath(entry istio.Authorizer, known profile.Profile) []misfit {
	path, _, fixed := strings.Cut(entry.PathPrefix, "?")
	own := slices.Contains([]string{"/ping", "/ready", "/robots.txt"}, path) || strings.HasPrefix(path, "/oauth2/")
	if !fixed || !own {
		return nil
	}
	return []misfit{{
		"pathPrefix", entry.PathPrefix,
		fmt.Sprintf("this looks like %s, which does not check a request at its own path %s; set pathPrefix to %q", known.Title, bound.Text(path), known.PathPrefix),
		fmt.Sprintf("%s checks nothing at %s", known.Title, bound.Text(path)),
	}}
}

func missingHeaders(entry istio.Authorizer, known profile.Profile) []misfit {
	var found []misfit
	for _, required := range known.Requires {
		sent := func(pattern string) bool { return matchesHeader(pattern, required.Header) }
		if slices.ContainsFunc(entry.Include, sent) || slices.ContainsFunc(entry.Add, sent) {
			continue
		}
		found = append(found, misfit{
			"headers.inCheck", required.Header,
			fmt.Sprintf("this looks like %s, which without %s %s; \"kubectl extauth register --profile %s\" prints an entry with every header", known.Title, required.Header, required.Because, known.Name),
			fmt.Sprintf("%s does not get %s", known.Title, required.Header),
		})
	}
	return found
}

// RefuseProfile says why an authorizer of a profile cannot be registered, and what to do;
// "" for one that can.
func RefuseProfile(known profile.Profile) string {
	if !known.GRPCOnly {
		return ""
	}
	return known.Title + " answers Envoy by gRPC only, and Kyma's Istio CR sets up authorizers by HTTP only, so every request would get 403; " +
		"put " + known.Title + " in front as a proxy instead, or register an oauth2-proxy with the same identity provider"
}

// checkFit reports what does not fit the authorizer behind an entry.
func checkFit(entry istio.Authorizer) []Finding {
	var found []Finding
	for _, one := range misfits(entry) {
		path := entry.Field()
		for step := range strings.SplitSeq(one.field, ".") {
			path = path.Child(step)
		}
		finding := newFinding(AuthorizerUnfit, Warn, path, one.value, one.problem, one.brief)
		finding.Subject = strings.Join([]string{entry.Name, one.field, one.value}, " ")
		finding.Once = true
		found = append(found, finding)
	}
	return found
}

// checkNamedFit reports authorizers whose entries do not fit what is behind them.
func checkNamedFit(s subject) []Finding {
	var found []Finding
	for i, name := range s.rule.Authorizers {
		for _, one := range s.facts.Registry.misfits[name] {
			entry, _ := s.facts.Registry.Authorizer(name)
			finding := newFinding(AuthorizerUnfit, Warn, s.rule.AuthorizerField(i), name,
				fmt.Sprintf("its entry in %s does not fit: %s.%s: %s", s.facts.Registry.Origin, entry.Field(), one.field, one.problem), one.brief)
			finding.Subject = strings.Join([]string{name, one.field, one.value}, " ")
			finding.Once = true
			found = append(found, finding)
		}
	}
	return found
}

// lacksPrefix is true for an entry that asks with the path of the application, unless it
// is known to be no oauth2-proxy.
func lacksPrefix(entry istio.Authorizer) bool {
	known, found := profile.Recognise(entry.Service, entry.PathPrefix)
	return entry.PathPrefix == "" && (!found || known.Endpoint == "" && !known.GRPCOnly)
}
