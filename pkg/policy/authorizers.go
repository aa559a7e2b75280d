// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/internal/suggest"
)

// checkRegistered reports authorizers that are not registered: istiod answers
// every request to such a rule with 403 (Istio pilot,
// security/authz/builder/extauthz.go), and nothing else says why.
func checkRegistered(s subject) []Finding {
	var found []Finding
	registry := s.facts.Registry
	for i, name := range s.rule.Authorizers {
		switch {
		case !registry.Known:
			found = append(found, newFinding(RegistryUnknown, s.settings.UnknownRegistry, s.rule.AuthorizerField(i), name,
				fmt.Sprintf("cannot tell whether this authorizer is registered: %s; try again when the Istio CR in the namespace kyma-system can be read", registry.reason()),
				"cannot tell whether it is registered: "+registry.reason()))
		case !registry.Has(name):
			found = append(found, newFinding(AuthorizerNotRegistered, Deny, s.rule.AuthorizerField(i), name,
				notRegistered(name, registry)+s.askedForBy(name),
				fmt.Sprintf("%q is not registered; every request gets 403", name)))
		}
	}
	return found
}

// askedForBy says which of the policies that match the rule ask for an authorizer, where
// nobody can follow them: whoever wrote the rule cannot help it.
func (s subject) askedForBy(name string) string {
	for _, one := range s.matching.of(s.rule) {
		if one.asksFor(name) {
			return fmt.Sprintf("; ExtAuthPolicy %s asks for it and is not Ready as long as it is not registered: ask the owner of the policy", one.Name)
		}
	}
	return ""
}

func notRegistered(name string, registry Registry) string {
	sentence := fmt.Sprintf("not registered in %s, so every request would get 403 \"RBAC: access denied\"; registered: %s",
		registry.Origin, bound.List(registry.Names()))
	if near := suggest.Nearest(name, registry.Names()); near != "" {
		return sentence + fmt.Sprintf("; did you mean %q?", near)
	}
	return sentence + "; name one of these, or add it to spec.config.authorizers first"
}

func (r Registry) reason() string {
	if r.Reason == "" {
		return "the authorizers are not known"
	}
	return r.Reason
}

// checkOpenPaths reports an authorizer without pathPrefix: oauth2-proxy is then
// asked with the path of the application, and answers its own paths with 200
// for everybody (oauth2-proxy 7.15, oauthproxy.go, buildServeMux).
func checkOpenPaths(s subject) []Finding {
	var found []Finding
	for i, name := range s.rule.Authorizers {
		if !s.facts.Registry.withoutPrefix[name] {
			continue
		}
		finding := newFinding(AuthorizerOpenPaths, Warn, s.rule.AuthorizerField(i), name,
			fmt.Sprintf("has no pathPrefix in %s: if it is an oauth2-proxy, everybody may call %s of this host without a token; set its pathPrefix to \"/verify?original=\"",
				s.facts.Registry.Origin, openPaths),
			"no pathPrefix: "+openPaths+" are open")
		finding.Once = true
		found = append(found, finding)
	}
	return found
}

// openPaths are the paths that oauth2-proxy answers by itself.
const openPaths = "/ping, /ready, /robots.txt and /oauth2/static/*"

// checkEffective reports authorizers that the Istio CR has and the mesh has not, or not
// like this: until it has, Kyma reports an error and istiod denies, or asks what was
// registered before. The state of the CR by itself says nothing: it is Warning for
// days, for reasons that have nothing to do with authorizers.
func checkEffective(s subject) []Finding {
	var found []Finding
	registry := s.facts.Registry
	troubled := registry.State == "Warning" || registry.State == "Error"
	for i, name := range s.rule.Authorizers {
		sentence, brief := "", fmt.Sprintf("%q is not in force yet", name)
		switch {
		case !registry.Has(name) || registry.otherKind(name):
		case registry.Outdated(name):
			sentence = "is registered, but the mesh configuration istio-system/istio still has an earlier version of the entry, which is the one that is asked"
			brief = fmt.Sprintf("the mesh still has an earlier version of %q", name)
		case !registry.Effective(name):
			sentence = "is registered but not yet in the mesh configuration istio-system/istio, so requests get 403 until the Istio module has applied it"
		case registry.mesh == nil && troubled:
			sentence = "is registered, but whether it is in force is not known"
		}
		if sentence == "" {
			continue
		}
		if troubled {
			sentence += fmt.Sprintf("; %s is in the state %s: %q; correct that first", registry.Origin, registry.State, registry.Description)
		} else {
			sentence += "; that takes seconds"
		}
		finding := newFinding(AuthorizerNotEffective, Warn, s.rule.AuthorizerField(i), name, sentence, brief)
		if !registry.Effective(name) {
			finding = finding.soThat(allDenied)
		}
		found = append(found, finding)
	}
	return found
}

// checkReady reports authorizers that cannot answer: Kyma does not expose
// failOpen, so every request is denied while they are away.
func checkReady(s subject) []Finding {
	var found []Finding
	for i, name := range s.rule.Authorizers {
		backend, known := s.facts.Backends[name]
		if !known || (backend.Exists && backend.HasPort && backend.Ready) {
			continue
		}
		problem := fmt.Sprintf("its Service %s does not exist", backend.Service)
		switch {
		case backend.Exists && !backend.HasPort:
			authorizer, _ := s.facts.Registry.Authorizer(name)
			problem = fmt.Sprintf("its Service %s has no port %d", backend.Service, authorizer.Port)
		case backend.Exists:
			problem = fmt.Sprintf("its Service %s has no ready endpoint", backend.Service)
		}
		found = append(found, newFinding(AuthorizerUnready, Warn, s.rule.AuthorizerField(i), name,
			problem+", so every request gets 403; start the authorizer, or correct its entry in "+s.facts.Registry.Origin,
			problem).soThat(allDenied))
	}
	return found
}

// allDenied is what becomes of requests to a rule that is [Blocked].
const allDenied = "every request gets 403"
