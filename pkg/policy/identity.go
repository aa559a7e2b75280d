// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/pkg/profile"
)

// checkIdentity reports identity headers that an authorizer may set and that clients
// can send themselves: Envoy replaces only the headers that the answer has, so that
// one which the authorizer leaves out reaches the workload as the client sent it. What
// is not known to be kept out at the gateway counts as let in.
func checkIdentity(entry istio.Authorizer, facts IstioFacts) []Finding {
	hosts := facts.hosts(entry.Name)
	var headers, open []string
	for _, header := range slices.Concat(oauth2proxy.IdentityHeaders(), profile.IdentityHeaders()) {
		if !slices.ContainsFunc(entry.UpstreamOnAllow, func(pattern string) bool { return matchesHeader(pattern, header) }) {
			continue
		}
		if at, shielded := facts.shielded(header, hosts); !shielded {
			headers = append(headers, header)
			open = append(open, at...)
		}
	}
	if len(headers) == 0 {
		return nil
	}
	slices.Sort(open)
	where := ""
	if open = slices.Compact(open); len(open) > 0 {
		where = " for " + bound.List(open)
	}
	finding := newFinding(IdentityHeaderSpoofable, Warn, entry.Field().Child("headers", "toUpstream", "onAllow"), entry.Name,
		fmt.Sprintf("a client that sends %s itself is believed whenever the authorizer answers without them, and no AuthorizationPolicy is known that refuses such requests at the ingress gateway%s; "+
			"make one with the action DENY in %s, or take the headers out of the list", bound.List(headers), where, istio.MeshNamespace),
		fmt.Sprintf("clients can send %s", headers[0]))
	finding.Subject = entry.Name + " " + strings.Join(headers, " ")
	finding.Once = true
	return []Finding{finding}
}

// matchesHeader knows the patterns of Istio: a name, its beginning and "*", or "*" and
// its end. A header's case does not matter.
func matchesHeader(pattern, header string) bool {
	pattern = strings.ToLower(pattern)
	if start, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(header, start)
	}
	if end, found := strings.CutPrefix(pattern, "*"); found {
		return strings.HasSuffix(header, end)
	}
	return pattern == header
}

// shielded says whether no client can bring a header to any of the hosts, and else to
// which it can. Without hosts one shield for the header is enough.
func (f IstioFacts) shielded(header string, hosts []string) (open []string, shielded bool) {
	var of []istio.Shield
	for _, shield := range f.Shields {
		if shield.Header == header {
			of = append(of, shield)
		}
	}
	if len(of) == 0 {
		return nil, false
	}
	for _, host := range hosts {
		if !slices.ContainsFunc(of, func(shield istio.Shield) bool { return shield.Covers(host) }) {
			open = append(open, host)
		}
	}
	return open, len(open) == 0
}

func (f IstioFacts) hosts(authorizer string) []string {
	if f.Hosts == nil {
		return nil
	}
	return f.Hosts(authorizer)
}
