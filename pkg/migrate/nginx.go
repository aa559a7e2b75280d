// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
)

// tellRestrictions notes what keeps requests away besides the login, and says
// whether there is any.
func (h *ingressHost) tellRestrictions(g *ingress) bool {
	found := false
	note := func(name, what string) {
		found = true
		h.candidate.note(g.source, Restriction, fmt.Sprintf("metadata.annotations[%s%s]", nginx, bound.Text(name)), "this restricted access and is lost: %s", what)
	}
	for _, key := range sortedKeys(g.annotations) {
		name, own := strings.CutPrefix(key, nginx)
		if !own {
			continue
		}
		if name == "auth-url" {
			if parameters := restricting(text(g.annotations, key)); len(parameters) > 0 {
				note(name, "the parameters "+bound.List(parameters)+" of the auth-url; restrict groups and e-mail addresses in the authorizer, or by extAuth.restrictions")
			}
			continue
		}
		if what, advice := restriction(name); what != "" {
			note(name, fmt.Sprintf("%s %s; %s", what, quoted(fmt.Sprint(g.annotations[key])), advice))
		}
	}
	if g.annotation("rewrite-target") != "" && !g.protects() {
		note("rewrite-target", "requests without login reached only the paths of the Service that the rewriting leads to; protect the path or serve it elsewhere")
	}
	return found
}

// restriction says what an annotation restricts, and what to do about it; "" for
// one that restricts nothing (https://kubernetes.github.io/ingress-nginx,
// user-guide/nginx-configuration/annotations).
func restriction(name string) (what, advice string) {
	switch {
	case slices.Contains([]string{"whitelist-source-range", "allowlist-source-range", "denylist-source-range"}, name):
		return "source addresses", "write an AuthorizationPolicy with remoteIpBlocks"
	case strings.HasPrefix(name, "auth-tls-"):
		return "client certificates", "use a Gateway with mutual TLS"
	case strings.HasSuffix(name, "-snippet"):
		return "a snippet", "it may refuse requests, read it"
	case name == "permanent-redirect", name == "temporal-redirect":
		return "a redirect, so that no request reached the Service,", "redirect in the application"
	case name == "satisfy":
		return "login and source addresses together", "write an AuthorizationPolicy"
	case slices.Contains([]string{"auth-type", "auth-secret", "auth-secret-type", "auth-realm"}, name):
		return "basic authentication", "the authorizer has to know the users"
	case strings.HasPrefix(name, "limit-") && name != "limit-rate" && name != "limit-rate-after":
		return "a limit", "write a RateLimit of Kyma"
	case name == "enable-modsecurity", name == "enable-owasp-core-rules", strings.HasPrefix(name, "modsecurity-"):
		return "a web application firewall", "put one before the Gateway"
	}
	return "", ""
}

// restricting returns the parameters of an auth-url that may restrict who gets in:
// all but those that say where the user comes from.
func restricting(authURL string) []string {
	_, query, _ := strings.Cut(authURL, "?")
	var names []string
	for parameter := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(parameter, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if !slices.Contains([]string{"", "rd", "rurl", "url", "redirect", "redirect_uri", "original", "original_url"}, strings.ToLower(name)) {
			names = append(names, name)
		}
	}
	return names
}

// tellAnnotations notes what becomes of the other annotations of ingress-nginx.
func (h *ingressHost) tellAnnotations(g *ingress) {
	for _, key := range sortedKeys(g.annotations) {
		name, own := strings.CutPrefix(key, nginx)
		if what, _ := restriction(name); !own || what != "" || strings.HasPrefix(name, "canary") {
			continue
		}
		note := func(kind Kind, format string, args ...any) {
			h.candidate.note(g.source, kind, fmt.Sprintf("metadata.annotations[%s%s]", nginx, bound.Text(name)), format, args...)
		}
		switch name {
		case "auth-url":
			note(Todo, "nothing calls %s any more; register the authorizer in the Istio CR", quoted(text(g.annotations, key)))
		case "auth-signin":
			note(Todo, "the authorizer decides whether users are sent to a login page; an oauth2-proxy in the authorization-code flow does that")
		case "auth-response-headers":
			note(Todo, "the authorizer's entry in the Istio CR needs toUpstream.onAllow [%s], for the application to see these headers", bound.List(headerNames(g)))
		case "rewrite-target":
			note(Lost, "v2 does not rewrite paths; the application gets the whole path of the request and has to serve it")
		case "use-regex":
		default:
			note(Lost, "is not carried over")
		}
	}
}

// headerNames returns the headers of the authorizer's answer that the application
// is given.
func headerNames(g *ingress) []string {
	var names []string
	for name := range strings.SplitSeq(g.annotation("auth-response-headers"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
