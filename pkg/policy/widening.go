// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

// Widening is a part of an AuthorizationPolicy that lets in what the ingress gateway passes
// on, beside the policies that Kyma makes of APIRules.
type Widening struct {
	// Object names the policy in a sentence: "AuthorizationPolicy shop/open".
	Object string
	// Allow says which requests it lets in.
	Allow istio.Allow
}

// checkWidening reports a protected rule whose check another policy lets requests pass. Kyma
// writes the host of an APIRule into its CUSTOM policies, and Envoy compares it with the
// whole header: a request with a port in there is asked about by nobody, and only the lack
// of a policy that lets it in keeps it out. A jwt is kept by an ALLOW policy alone, so that
// any other one opens it.
func checkWidening(s subject) []Finding {
	if !s.rule.Protected() || len(s.facts.Widenings[s.rule.Service]) == 0 {
		return nil
	}
	host, by, found := s.widened()
	if !found {
		return nil
	}
	sentence := fmt.Sprintf("%s lets the ingress gateway in without a token, so that a jwt is no condition any more", by)
	brief := by + " lets the gateway in without a token"
	if s.rule.Strategy == apirule.ExtAuth {
		sentence = fmt.Sprintf("%s lets the ingress gateway in, and the authorizer is only asked about requests whose header Host is exactly %q: one with a port, such as %q, gets in unasked",
			by, bound.Text(host), bound.Text(host+":443"))
		brief = by + " lets requests in whose Host has a port"
	}
	sentence += fmt.Sprintf("; name in its rules[].from who may call, without the ingress gateway, or replace it by the annotation %s of the Service", annotation.InternalCallers)
	finding := newFinding(ProtectionWidened, Warn, s.rule.ServiceField(), s.rule.Service.String(), sentence, brief)
	finding.Subject = s.rule.Service.String() + " " + by
	finding.Foreign = foreignObject(by, s.view.Namespace)
	return []Finding{finding}
}

// widened returns the first policy that lets requests of the rule pass its check, with the
// host that they are for.
func (s subject) widened() (host, by string, found bool) {
	paths := newRulePaths(s.rule.Path)
	for _, one := range s.facts.Widenings[s.rule.Service] {
		if !methodsMeet(one.Allow, s.rule.Methods) || !paths.meet(one.Allow) {
			continue
		}
		for _, host := range s.view.Hosts {
			host = FullHost(host, s.facts.GatewayDomains[s.view.Gateway])
			if one.Allow.TakesHostWithPort(host) || s.rule.Strategy == apirule.JWT && one.Allow.TakesHost(host) {
				return host, one.Object, true
			}
		}
	}
	return "", "", false
}

// methodsMeet is true if a policy lets in requests of one of the methods.
func methodsMeet(allow istio.Allow, methods []string) bool {
	return len(methods) == 0 || slices.ContainsFunc(methods, func(method string) bool {
		fits := func(pattern string) bool { return istio.Matches(pattern, method) }
		return (len(allow.Methods) == 0 || slices.ContainsFunc(allow.Methods, fits)) && !slices.ContainsFunc(allow.NotMethods, fits)
	})
}

// rulePaths are the request paths of a rule.
type rulePaths struct {
	path string
	// beginning is what all of them begin with; for a path without operators all of it.
	beginning  string
	expression *regexp.Regexp // made when it is needed
}

func newRulePaths(path string) *rulePaths {
	beginning, _, _ := strings.Cut(strings.TrimSuffix(path, "*"), "{")
	return &rulePaths{path: path, beginning: beginning}
}

// one is true if the rule has one request path only.
func (r *rulePaths) one() bool {
	return r.beginning == r.path
}

// meet is true if a policy lets in some of them. Where it cannot be sure it says yes.
func (r *rulePaths) meet(allow istio.Allow) bool {
	return (len(allow.Paths) == 0 || slices.ContainsFunc(allow.Paths, r.can)) && !slices.ContainsFunc(allow.NotPaths, r.always)
}

// can is true if one of the paths may fit a pattern.
func (r *rulePaths) can(pattern string) bool {
	prefix, wide := strings.CutSuffix(pattern, "*")
	template := strings.Contains(pattern, "{")
	switch {
	case strings.HasPrefix(pattern, "*"):
		return !r.one() || istio.Matches(pattern, r.path)
	case template:
		prefix, _, _ = strings.Cut(pattern, "{")
		return strings.HasPrefix(r.beginning, prefix) || strings.HasPrefix(prefix, r.beginning)
	case wide:
		return strings.HasPrefix(r.beginning, prefix) || !r.one() && strings.HasPrefix(prefix, r.beginning)
	}
	if r.expression == nil {
		r.expression = policyExpression(r.path)
	}
	return r.expression.MatchString(pattern)
}

// always is true if all of the paths fit a pattern.
func (r *rulePaths) always(pattern string) bool {
	prefix, wide := strings.CutSuffix(pattern, "*")
	return wide && !strings.Contains(prefix, "*") && strings.HasPrefix(r.beginning, prefix) || r.one() && istio.Matches(pattern, r.path)
}

// letsIn returns the first policy beside Kyma's that lets in a request which the ingress
// gateway passes on to a Service.
func letsIn(facts Facts, rule apirule.Rule, request Request) (by string, found bool) {
	paths := newRulePaths(request.Path)
	for _, one := range facts.Widenings[rule.Service] {
		if methodsMeet(one.Allow, []string{request.Method}) && paths.meet(one.Allow) && one.Allow.TakesHost(request.Host) {
			return one.Object, true
		}
	}
	return "", false
}
