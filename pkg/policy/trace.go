// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// Request is one that somebody sends.
type Request struct {
	// Method is an HTTP method, and Path what comes before the query.
	Method, Path string
	// Host is that of the header Host, perhaps with a port.
	Host string
	// From is who calls inside the mesh, as namespace/serviceaccount; "" for the internet,
	// which comes through the ingress gateway.
	From string
	// Admitted is true if From is known to be let in by an ALLOW policy besides Kyma's.
	Admitted bool
}

// Fate says what becomes of a request. Fates are API, like verdicts.
type Fate string

// The fates.
const (
	// NotRouted: the ingress gateway has no route and answers 404.
	NotRouted Fate = "NotRouted"
	// Denied: a sidecar answers 403.
	Denied Fate = "Denied"
	// Asked: the authorizers are asked, and answer what they do not allow.
	Asked Fate = "Asked"
	// NeedsToken: without a token of an accepted issuer it is 403, with a bad one 401.
	NeedsToken Fate = "NeedsToken"
	// LetIn: it reaches the application, whoever sent it.
	LetIn Fate = "LetIn"
	// Undecided: it cannot be told.
	Undecided Fate = "Undecided"
)

// Trace is the way of a request.
type Trace struct {
	Fate Fate
	// Why says in a few words what makes it so.
	Why string
	// Rule is the index of the rule whose route takes the request, -1 if none does.
	Rule int
	// Steps are what happens on the way, in order.
	Steps []string
}

// TraceRequest follows a request to a host of an APIRule: through the route that Kyma makes of
// the first rule that fits, and then through the policies that Kyma makes of all rules, as
// Envoy asks them: first CUSTOM, then ALLOW (Kyma api-gateway,
// processors/v2alpha1/{virtualservice,authorizationpolicy}). domain is that of the Gateway.
//
// It knows the policies of this APIRule, and those by hand that let the ingress gateway in; and
// a path without dot segments.
func TraceRequest(view apirule.View, domain string, facts Facts, judged Judgement, request Request) Trace {
	if request.From != "" {
		return traceInside(view, domain, facts, judged, request)
	}
	rule, why := routed(view, domain, request)
	if rule < 0 {
		return Trace{Fate: NotRouted, Why: why, Rule: -1, Steps: []string{"gateway: " + why}}
	}
	trace := Trace{Rule: rule, Steps: []string{fmt.Sprintf("gateway: the route of rule %d (%s) takes it to the Service %s", rule, view.Rules[rule].Path, view.Rules[rule].Service)}}
	switch one := judged.Rules[rule]; {
	case one.Verdict == NotEnforced && one.Code != ProtectionWidened:
		return trace.end(LetIn, "nobody asks: "+one.Why)
	case view.Rules[rule].Strategy == apirule.Malformed || view.Rules[rule].Strategy == apirule.Open:
		return trace.end(Undecided, fmt.Sprintf("rule %d has no access strategy that can be read, and the API server refuses it", rule))
	case one.Verdict == Unknown && view.Rules[rule].Strategy == apirule.JWT:
		return trace.end(Undecided, one.Why)
	}
	return trace.sidecar(view, domain, facts, judged, request)
}

func (t Trace) end(fate Fate, why string) Trace {
	t.Fate, t.Why = fate, why
	return t
}

func (t Trace) step(format string, args ...any) Trace {
	t.Steps = append(t.Steps, fmt.Sprintf(format, args...))
	return t
}

// routed returns the first rule whose route fits, or -1 and why there is none.
func routed(view apirule.View, domain string, request Request) (rule int, why string) {
	name, _, _ := strings.Cut(request.Host, ":")
	if !serves(view, domain, name) {
		return -1, fmt.Sprintf("the APIRule does not have the host %q", bound.Text(name))
	}
	for i, one := range view.Rules {
		if routeExpression(one.Path).MatchString(request.Path) && slices.Contains(one.Methods, request.Method) {
			return i, ""
		}
	}
	return -1, fmt.Sprintf("no rule has this path with the method %s", bound.Text(request.Method))
}

// serves is true if one of the hosts is that name.
func serves(view apirule.View, domain, name string) bool {
	return slices.ContainsFunc(view.Hosts, func(host string) bool {
		host = FullHost(host, domain)
		suffix, wildcard := strings.CutPrefix(host, "*")
		return strings.EqualFold(host, name) || wildcard && strings.HasSuffix(strings.ToLower(name), strings.ToLower(suffix))
	})
}

// sidecar asks the policies of all rules in front of the Service that the route leads to.
func (t Trace) sidecar(view apirule.View, domain string, facts Facts, judged Judgement, request Request) Trace {
	service, fits := view.Rules[t.Rule].Service, policyPaths(view, request.Path)
	var custom, jwt, open []int
	for i, rule := range view.Rules {
		if rule.Service != service || !policed(view, domain, i, request, fits) {
			continue
		}
		switch {
		case len(rule.Authorizers) > 0:
			custom = append(custom, i)
		case rule.Strategy == apirule.JWT:
			jwt = append(jwt, i)
		case rule.Strategy == apirule.NoAuth:
			open = append(open, i)
		}
	}
	if len(custom) > 0 {
		return t.asked(view.Rules[custom[0]], judged.Rules[custom[0]])
	}
	t = t.step("CUSTOM: nobody is asked about it")
	by, widened := letsIn(facts, view.Rules[t.Rule], request)
	switch {
	case widened:
		return t.step("ALLOW: %s lets the ingress gateway in", by).end(LetIn, by+" lets it in")
	case len(open) > 0:
		return t.step("ALLOW: rule %d lets the ingress gateway in", open[0]).end(LetIn, fmt.Sprintf(`rule %d says "noAuth: true"`, open[0]))
	case len(jwt) > 0:
		t = t.step("ALLOW: rule %d lets the ingress gateway in with a token of an issuer that it names", jwt[0])
		return t.end(NeedsToken, fmt.Sprintf("rule %d has a jwt", jwt[0]))
	}
	return t.step("ALLOW: no rule fits it").end(Denied, whyNotAllowed(view, domain, t.Rule, request, fits))
}

// asked says what becomes of a request that a CUSTOM policy fits.
func (t Trace) asked(rule apirule.Rule, verdict RuleVerdict) Trace {
	names := bound.List(rule.Authorizers)
	switch verdict.Verdict {
	case Blocked:
		return t.step("CUSTOM: denies, because %s", verdict.Why).end(Denied, verdict.Why)
	case Unknown:
		return t.step("CUSTOM: %s should be asked", names).end(Undecided, verdict.Why)
	default:
		t = t.step("CUSTOM: %s is asked; what it refuses gets its answer", names).step("ALLOW: the ingress gateway may call")
		return t.end(Asked, names+" decides")
	}
}

// policed is true if the policies of a rule fit a request: its host as it is written, its
// method, and its path, unless an earlier rule has it (Kyma, generateNotPaths).
func policed(view apirule.View, domain string, index int, request Request, fits []bool) bool {
	rule := view.Rules[index]
	return serves(view, domain, request.Host) && slices.Contains(rule.Methods, request.Method) &&
		fits[index] && earlier(view, index, fits) < 0
}

// policyPaths says of each rule whether its path is that of a request, for the policies.
func policyPaths(view apirule.View, path string) []bool {
	fits := make([]bool, 0, len(view.Rules))
	for _, rule := range view.Rules {
		fits = append(fits, policyExpression(rule.Path).MatchString(path))
	}
	return fits
}

// earlier returns the rule before one whose path is left out of its policies and fits, or -1.
func earlier(view apirule.View, index int, fits []bool) int {
	rule := view.Rules[index]
	for i, one := range view.Rules {
		switch one.Path {
		case "/", "/*", "/{**}":
			continue
		case rule.Path:
			return -1
		}
		if fits[i] && slices.ContainsFunc(one.Methods, func(method string) bool { return slices.Contains(rule.Methods, method) }) {
			return i
		}
	}
	return -1
}

func whyNotAllowed(view apirule.View, domain string, index int, request Request, fits []bool) string {
	if !serves(view, domain, request.Host) {
		return "the policies name the host without a port, and the request has one"
	}
	if before := earlier(view, index, fits); before >= 0 {
		return fmt.Sprintf("rule %d has this path without the method %s, and Kyma leaves the path out of what later rules allow", before, bound.Text(request.Method))
	}
	return "the route takes more paths than the policies of the rule"
}

// traceInside follows a request of a caller inside the mesh, straight to a Service.
func traceInside(view apirule.View, domain string, facts Facts, judged Judgement, request Request) Trace {
	trace := Trace{Rule: -1, Steps: []string{fmt.Sprintf("%s calls inside the mesh, past the ingress gateway", bound.Text(request.From))}}
	for _, rule := range view.Rules {
		namespace, known := facts.Namespaces[rule.Service.Namespace]
		if !known {
			return trace.end(Undecided, fmt.Sprintf("the labels of the namespace %s are not known", rule.Service.Namespace))
		}
		if !namespace.Sidecars() {
			return trace.end(LetIn, fmt.Sprintf("nobody asks: namespace %s injects no sidecars", rule.Service.Namespace))
		}
	}
	asked := serves(view, domain, request.Host)
	if asked {
		if rule, _ := routed(view, domain, request); rule >= 0 && len(view.Rules[rule].Authorizers) > 0 && judged.Rules[rule].Verdict != NotEnforced {
			trace = trace.step("CUSTOM: %s is asked, because the request has the host of the APIRule", bound.List(view.Rules[rule].Authorizers))
		}
	} else {
		trace = trace.step("CUSTOM: nobody is asked, because the request does not have the host of the APIRule")
	}
	if !request.Admitted {
		return trace.step("ALLOW: Kyma's policies name the ingress gateway only").end(Denied, "only the ingress gateway may call; see the annotation internal-callers")
	}
	if len(trace.Steps) > 1 && asked {
		return trace.step("ALLOW: the caller may call").end(Asked, "the authorizer decides")
	}
	return trace.step("ALLOW: the caller may call").end(LetIn, "the caller may call, and nobody is asked")
}

// anyOf is the expression of a character that the operators of paths stand for; what
// replaces the verb is added to a segment's.
const anyOf = `[A-Za-z0-9._~!$&'()*+,;=:@%s-]|%%[0-9a-fA-F]{2}`

// routeExpression is that of the route: what is no operator is a regular expression in
// there, so that a dot fits every character.
func routeExpression(path string) *regexp.Regexp {
	return pathExpression(path, func(text string) string { return text })
}

// policyExpression is that of the policies, where what is no operator stands for itself.
func policyExpression(path string) *regexp.Regexp {
	return pathExpression(path, regexp.QuoteMeta)
}

func pathExpression(path string, literal func(string) string) *regexp.Regexp {
	if path == "/*" || path == "/{**}" {
		return regexp.MustCompile("^/")
	}
	segment, all := fmt.Sprintf("(?:"+anyOf+")+", ""), fmt.Sprintf("(?:"+anyOf+")*", "/")
	var text strings.Builder
	for i, part := range strings.Split(path, "{**}") {
		if i > 0 {
			text.WriteString(all)
		}
		for j, piece := range strings.Split(part, "{*}") {
			if j > 0 {
				text.WriteString(segment)
			}
			text.WriteString(literal(piece))
		}
	}
	expression, err := regexp.Compile("^(?:" + text.String() + ")$")
	if err != nil {
		return regexp.MustCompile(`^\b$`) // the CRD has no such path; it fits nothing
	}
	return expression
}
