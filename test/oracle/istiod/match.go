// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"

	rbacpb "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routepb "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	template "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// The matchers here are those that istiod uses for what this project writes and reads.
// Another one is an error, so that nothing is passed over.

func anyFits[T any](of []T, to request, fits func(T, request) (bool, error)) (bool, error) {
	for _, one := range of {
		if ok, err := fits(one, to); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func allFit[T any](of []T, to request, fits func(T, request) (bool, error)) (bool, error) {
	for _, one := range of {
		if ok, err := fits(one, to); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func not(fits bool, err error) (bool, error) { return !fits && err == nil, err }

func permits(of *rbacpb.Permission, to request) (bool, error) {
	switch rule := of.GetRule().(type) {
	case *rbacpb.Permission_Any:
		return rule.Any, nil
	case *rbacpb.Permission_AndRules:
		return allFit(rule.AndRules.GetRules(), to, permits)
	case *rbacpb.Permission_OrRules:
		return anyFits(rule.OrRules.GetRules(), to, permits)
	case *rbacpb.Permission_NotRule:
		return not(permits(rule.NotRule, to))
	case *rbacpb.Permission_Header:
		return header(rule.Header, to)
	case *rbacpb.Permission_UrlPath:
		return text(rule.UrlPath.GetPath(), to.Path)
	case *rbacpb.Permission_UriTemplate:
		var config template.UriTemplateMatchConfig
		if err := rule.UriTemplate.GetTypedConfig().UnmarshalTo(&config); err != nil {
			return false, fmt.Errorf("decoding a path template: %w", err)
		}
		return path(config.GetPathTemplate(), to.Path)
	default:
		return false, fmt.Errorf("the permission %T is not known here", rule)
	}
}

func identifies(of *rbacpb.Principal, to request) (bool, error) {
	switch rule := of.GetIdentifier().(type) {
	case *rbacpb.Principal_Any:
		return rule.Any, nil
	case *rbacpb.Principal_AndIds:
		return allFit(rule.AndIds.GetIds(), to, identifies)
	case *rbacpb.Principal_OrIds:
		return anyFits(rule.OrIds.GetIds(), to, identifies)
	case *rbacpb.Principal_NotId:
		return not(identifies(rule.NotId, to))
	case *rbacpb.Principal_Header:
		return header(rule.Header, to)
	case *rbacpb.Principal_Authenticated_:
		if to.Principal == "" {
			return false, nil
		}
		return text(rule.Authenticated.GetPrincipalName(), "spiffe://"+to.Principal)
	case *rbacpb.Principal_Metadata:
		return claim(rule.Metadata, to)
	default:
		return false, fmt.Errorf("the principal %T is not known here", rule)
	}
}

// claim compares a claim of the JWT; the path is the filter's key and then the claim's.
func claim(of *matcher.MetadataMatcher, to request) (bool, error) {
	segments := of.GetPath()
	value, there := to.Claims[segments[len(segments)-1].GetKey()]
	if !there {
		return of.GetInvert(), nil
	}
	wanted := of.GetValue()
	if list := wanted.GetListMatch(); list != nil { // a claim is as good as a list of one
		wanted = list.GetOneOf()
	}
	if wanted.GetStringMatch() == nil {
		return false, fmt.Errorf("the match %T of a claim is not known here", of.GetValue().GetMatchPattern())
	}
	fits, err := text(wanted.GetStringMatch(), value)
	return fits != of.GetInvert(), err
}

func header(of *routepb.HeaderMatcher, to request) (bool, error) {
	value, there := to.Headers[strings.ToLower(of.GetName())]
	switch of.GetName() {
	case ":authority":
		value, there = to.Host, true
	case ":method":
		value, there = to.Method, true
	}
	var fits bool
	var err error
	switch specifier := of.GetHeaderMatchSpecifier().(type) {
	case *routepb.HeaderMatcher_PresentMatch:
		fits = there == specifier.PresentMatch
	case *routepb.HeaderMatcher_StringMatch:
		if there {
			fits, err = text(specifier.StringMatch, value)
		}
	default:
		err = fmt.Errorf("the match %T of the header %s is not known here", specifier, of.GetName())
	}
	return fits != of.GetInvertMatch(), err
}

func text(of *matcher.StringMatcher, value string) (bool, error) {
	fold := func(text string) string {
		if of.GetIgnoreCase() {
			return strings.ToLower(text)
		}
		return text
	}
	switch pattern := of.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return fold(value) == fold(pattern.Exact), nil
	case *matcher.StringMatcher_Prefix:
		return strings.HasPrefix(fold(value), fold(pattern.Prefix)), nil
	case *matcher.StringMatcher_Suffix:
		return strings.HasSuffix(fold(value), fold(pattern.Suffix)), nil
	case *matcher.StringMatcher_Contains:
		return strings.Contains(fold(value), fold(pattern.Contains)), nil
	case *matcher.StringMatcher_SafeRegex:
		expression, err := regexp.Compile("^(?:" + pattern.SafeRegex.GetRegex() + ")$")
		if err != nil {
			return false, fmt.Errorf("compiling the expression of a match: %w", err)
		}
		return expression.MatchString(value), nil
	default:
		return false, fmt.Errorf("the match %T of a text is not known here", pattern)
	}
}

// path compares a path with a template, in which * is a segment, not an empty one, and
// ** any number of them (Envoy, extensions/path/match/uri_template).
func path(of, value string) (bool, error) {
	const literal = `A-Za-z0-9._~%!$&'()+,;:@=*-`
	var made strings.Builder
	for i, part := range strings.Split(of, "**") {
		if i > 0 {
			made.WriteString("[" + literal + "/]*")
		}
		for j, piece := range strings.Split(part, "*") {
			if j > 0 {
				made.WriteString("[" + literal + "]+")
			}
			made.WriteString(regexp.QuoteMeta(piece))
		}
	}
	expression, err := regexp.Compile("^" + made.String() + "$")
	if err != nil {
		return false, fmt.Errorf("compiling the path template %q: %w", of, err)
	}
	return expression.MatchString(value), nil
}
