// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/quote"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// internet is who sends a request by default.
const internet = "internet"

// requestFlags say which request explain follows.
type requestFlags struct {
	request, from string
	headers       []string
}

// tracedRequest is what becomes of a request. Its JSON form is API.
type tracedRequest struct {
	Request string      `json:"request"`
	From    string      `json:"from"`
	Fate    policy.Fate `json:"fate"`
	Why     string      `json:"why"`
	// Rule is the rule whose route takes it, -1 if none does.
	Rule  int      `json:"rule"`
	Steps []string `json:"steps"`
}

// parse reads the request; nil if there is none.
func (f requestFlags) parse() (*policy.Request, error) {
	if f.request == "" {
		if len(f.headers) > 0 || f.from != internet {
			return nil, errors.New(`--from and --header are about a request: add --request "GET https://host/path"`)
		}
		return nil, nil //nolint:nilnil // no request is no error
	}
	method, address, _ := strings.Cut(strings.TrimSpace(f.request), " ")
	target, err := url.Parse(strings.TrimSpace(address))
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Scheme != "http" {
		return nil, fmt.Errorf("--request %s is no request; write a method and an address, as in \"GET https://httpbin.example.com/headers\"", quote.Line(f.request))
	}
	host, err := f.host(target)
	if err != nil {
		return nil, err
	}
	from, err := f.caller()
	if err != nil {
		return nil, err
	}
	return &policy.Request{Method: method, Host: host, Path: cmp.Or(target.EscapedPath(), "/"), From: from}, nil
}

// host is what the client writes into the header Host.
func (f requestFlags) host(target *url.URL) (string, error) {
	host := hostHeader(target)
	for _, header := range f.headers {
		key, value, found := strings.Cut(header, "=")
		if !found || key == "" {
			return "", fmt.Errorf("--header %s is no header; write NAME=VALUE", quote.Line(header))
		}
		if strings.EqualFold(key, "host") {
			host = value
		}
	}
	return host, nil
}

// caller is who calls inside the mesh; "" for the internet.
func (f requestFlags) caller() (string, error) {
	if f.from == internet {
		return "", nil
	}
	namespace, account, _ := strings.Cut(f.from, "/")
	if namespace == "" || account == "" || strings.Contains(account, "/") {
		return "", fmt.Errorf("--from %s is neither %q nor NAMESPACE/SERVICEACCOUNT", quote.Line(f.from), internet)
	}
	return f.from, nil
}

// hostHeader is the host of an address, without a port that is the usual one.
func hostHeader(target *url.URL) string {
	if usual := map[string]string{"https": "443", "http": "80"}[target.Scheme]; target.Port() == usual {
		return target.Hostname()
	}
	return target.Host
}

// trace follows the request to an APIRule.
func (f requestFlags) trace(all *known, examined *lint.Examined, request policy.Request) *tracedRequest {
	view := examined.View
	if request.From != "" {
		for _, rule := range view.Rules {
			request.Admitted = request.Admitted || admits(all.callers(rule.Service).Principals, request.From)
		}
	}
	traced := policy.TraceRequest(view, all.world.GatewayDomain(view.Gateway), examined.Facts, examined.Judgement, request)
	return &tracedRequest{
		Request: f.request, From: f.from, Fate: traced.Fate, Why: traced.Why, Rule: traced.Rule, Steps: traced.Steps,
	}
}

// admits is true if one of the principals of an AuthorizationPolicy of ours is that
// caller, or all.
func admits(principals []string, from string) bool {
	namespace, account, _ := strings.Cut(from, "/")
	return slices.ContainsFunc(principals, func(principal string) bool {
		return principal == "*" || principal == "cluster.local/ns/"+namespace+"/sa/"+account || principal == "cluster.local/ns/"+namespace+"/sa/*"
	})
}

// write adds what becomes of the request; nothing without one.
func (r *tracedRequest) write(text *strings.Builder) {
	if r == nil {
		return
	}
	quote.Fprintf(text, "\nrequest %s, from %s: %s, %s\n", r.Request, r.From, r.Fate, r.Why)
	for _, step := range r.Steps {
		quote.Fprintf(text, "  %s\n", step)
	}
}
