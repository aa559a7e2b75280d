// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package extauthz

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout is what istiod gives Envoy for an authorizer without a timeout
// (istiod, extauthz.go, timeoutOrDefault).
const DefaultTimeout = 600 * time.Second

// Authorizer is one entry of spec.config.authorizers of the Istio CR, as it
// reaches Envoy.
type Authorizer struct {
	// Service is the host name, with or without a namespace in front
	// (`namespace/host`), as the Istio CR has it.
	Service string
	// Port is the Service's port.
	Port int
	// PathPrefix is put before the original path and query, unseparated.
	PathPrefix string
	// Timeout bounds the check; zero means DefaultTimeout.
	Timeout time.Duration
	// IncludeHeaders are the client's headers that are sent: a name, `x*` or
	// `*x`, in any case.
	IncludeHeaders []string
	// AddHeaders are sent in addition and replace what IncludeHeaders selected.
	// Values may contain Envoy's %REQ(NAME?ALTERNATIVE):LENGTH% and %%.
	AddHeaders map[string]string
	// UpstreamOnAllow, DownstreamOnAllow and DownstreamOnDeny select headers of
	// the authorizer's answer, in the form of IncludeHeaders.
	UpstreamOnAllow, DownstreamOnAllow, DownstreamOnDeny []string
}

// Address is the host and port to connect to.
func (a Authorizer) Address() string {
	host := a.Service
	if _, name, found := strings.Cut(host, "/"); found {
		host = name
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// validate refuses what istiod refuses, with its reasons.
func (a Authorizer) validate() error {
	var errs []error
	if a.Service == "" {
		errs = append(errs, errors.New("service is empty; use the Service's full name, such as oauth2-proxy.oauth2-proxy.svc.cluster.local"))
	}
	if a.Port < 1 || a.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d is not between 1 and 65535", a.Port))
	}
	if a.PathPrefix != "" && !strings.HasPrefix(a.PathPrefix, "/") {
		errs = append(errs, fmt.Errorf("pathPrefix %q does not start with a slash", a.PathPrefix))
	}
	if strings.ContainsFunc(a.PathPrefix, notInTarget) {
		errs = append(errs, fmt.Errorf("pathPrefix %q has a blank, a control character or a fragment", a.PathPrefix))
	}
	for _, list := range [][]string{a.IncludeHeaders, a.UpstreamOnAllow, a.DownstreamOnAllow, a.DownstreamOnDeny} {
		for _, pattern := range list {
			if err := checkPattern(pattern); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Request is a client's request as Envoy sees it before the filter.
type Request struct {
	// Method is the HTTP method; empty means GET.
	Method string
	// Scheme is https or http; empty means https.
	Scheme string
	// Authority is the host the client asked for, with a port if it gave one.
	Authority string
	// Path is path and query as the client sent them, from the slash on.
	Path string
	// Header holds everything else. Pseudo-headers do not belong here.
	Header http.Header
}
