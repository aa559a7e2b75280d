// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oauth2proxy

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Version is the image's tag that the project installs and is tested with;
// hack/cluster/oauth2-proxy.sh builds the same.
const Version = "v7.15.6"

// Advisory is a known hole and when it matters.
type Advisory struct {
	// ID is the advisory's, or empty where there is none and the hole is the
	// documented behaviour.
	ID string
	// Severity is the one that was published.
	Severity string
	// FixedIn is the first version without it; empty is none.
	FixedIn string
	// Hole says what it lets happen.
	Hole string
	// matters returns the setting that opens it, or nothing.
	matters func(Settings) string
}

// skipRoutes are the flags that let paths through without a session.
func skipRoutes(s Settings) string { return s.any("skip-auth-route", "skip-auth-regex") }

// Advisories are those that are known, by the version that repairs them. A new one is
// a new row; a test fails when the version above is affected by one.
func Advisories() []Advisory {
	return []Advisory{
		{"GHSA-7rh7-c77v-6434", "critical", "7.11.0", "a query makes a path match a skip-auth route, and the request passes without a session", skipRoutes},
		{"GHSA-vjrc-mh2v-45x6", "high", "7.13.0", "a client's header with underscores reaches the application as one of the proxy's identity headers", func(s Settings) string {
			for _, upstream := range s["upstream"] {
				if upstream != "" && !strings.HasPrefix(upstream, "static://") {
					return "--upstream=" + upstream
				}
			}
			return ""
		}},
		{"GHSA-5hvv-m4w4-gf6v", "critical", "7.15.2", "a request with the User-Agent of a health check passes without a session", func(s Settings) string {
			if s.On("gcp-healthchecks") {
				return "--gcp-healthchecks=true"
			}
			return s.any("ping-user-agent")
		}},
		{"GHSA-7x63-xv5r-3p2x", "critical", "7.15.2", "a forged X-Forwarded-Uri matches a skip-auth route, and the request passes without a session", func(s Settings) string {
			if s.On("reverse-proxy") {
				return skipRoutes(s)
			}
			return ""
		}},
		{"GHSA-pxq7-h93f-9jrg", "high", "7.15.2", "a fragment in the path matches a skip-auth route, and the request passes without a session", skipRoutes},
		{"GHSA-c5c4-8r6x-56w3", "moderate", "7.15.2", "an email with several @ passes the check of its domain", func(s Settings) string {
			if domains := s["email-domain"]; len(domains) > 0 && domains[0] != "*" {
				return s.any("email-domain")
			}
			return ""
		}},
		{"GHSA-f24x-5g9q-753f", "moderate", "7.15.2", "the sign-in page leaves an old session's cookie in place", func(s Settings) string {
			if loginFlow(s) {
				return "the authorization-code flow"
			}
			return ""
		}},
		{"GHSA-63jm-59jj-478j", "critical", "7.15.5", "an ambiguous path matches a skip-auth route, and the request passes without a session", skipRoutes},
		{"GHSA-wr5q-7wxw-x568", "critical", "7.15.5", "a forged client address passes for a trusted one, and the request passes without a session", func(s Settings) string {
			return s.any("trusted-ip")
		}},
		{"GHSA-hhqp-vx7f-5c6m", "moderate", "7.15.5", "the log of a failed callback has credentials in it", func(s Settings) string {
			if loginFlow(s) {
				return "the authorization-code flow"
			}
			return ""
		}},
		{"", "critical", "", "a forged X-Forwarded-Uri matches a skip-auth route, because every peer is trusted", func(s Settings) string {
			if s.On("reverse-proxy") && !s.Has("trusted-proxy-ip") {
				return skipRoutes(s)
			}
			return ""
		}},
	}
}

// loginFlow says whether people sign in at the proxy.
func loginFlow(s Settings) bool { return s.Has("redirect-url") }

// Problem is one reason not to run a proxy as it is.
type Problem struct {
	// Advisory is its identifier, or empty.
	Advisory string
	// Unknown says that nothing could be compared.
	Unknown bool
	// Message is a sentence with the flag, the effective version and the way out.
	Message string
}

// Check holds a version, such as the tag of an image, and its settings against the
// advisories. A version that cannot be read is a problem of its own.
func Check(tag string, settings Settings) []Problem {
	is, err := version.ParseSemantic(strings.TrimSuffix(tag, "-alpine"))
	if err != nil {
		return []Problem{{Unknown: true, Message: fmt.Sprintf("the version %q of oauth2-proxy cannot be compared with the advisories; use a tag such as %s", tag, Version)}}
	}
	var problems []Problem
	for _, advisory := range Advisories() {
		if advisory.FixedIn != "" && !is.LessThan(version.MustParseSemantic(advisory.FixedIn)) {
			continue
		}
		opens := advisory.matters(settings)
		if opens == "" {
			continue
		}
		way := "use " + Version + " or later"
		if advisory.FixedIn == "" {
			way = "set --trusted-proxy-ip to the addresses of your proxies"
		}
		problems = append(problems, Problem{Advisory: advisory.ID, Message: fmt.Sprintf("oauth2-proxy %s with %s: %s (%s, %s); %s, or remove the setting",
			tag, opens, advisory.Hole, cmp.Or(advisory.ID, "no advisory"), advisory.Severity, way)})
	}
	return problems
}

// Tag returns the tag of an image's reference, or the digest where there is no tag.
func Tag(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	last := name[strings.LastIndex(name, "/")+1:]
	if _, tag, found := strings.Cut(last, ":"); found {
		return tag
	}
	return cmp.Or(digest, "latest")
}
