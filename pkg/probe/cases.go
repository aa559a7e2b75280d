// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package probe asks an authorizer what strangers would: requests without a
// credential, in the spellings by which authorizers were got around before. Each of
// them has to be denied.
package probe

import (
	"net/http"
	"strings"

	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
)

// attempt is one request and what it means if it gets in.
type attempt struct {
	request extauthz.Request
	// cause is said of a request that gets in; it names the advisory where there is one.
	cause string
}

// The causes, one for each kind of attempt.
const (
	causeEverybody = "it lets in requests that bring nothing; is a skip-auth route that matches the pathPrefix set (^/verify), or a trusted-ip, or is it no authorizer?"
	causeMethod    = "this method gets in without a credential; for OPTIONS that is --skip-auth-preflight, for others a skip-auth route with a method"
	causeOwn       = "the authorizer answers its own path; set a pathPrefix such as /verify?original= on the authorizer"
	causeAgent     = "the User-Agent of a health check gets in (GHSA-5hvv-m4w4-gf6v); remove --ping-user-agent and --gcp-healthchecks, or update oauth2-proxy"
	causeURI       = "a forged X-Forwarded-Uri gets in (GHSA-7x63-xv5r-3p2x); set --trusted-proxy-ip and update oauth2-proxy, or remove the skip-auth routes"
	causeAddress   = "a forged client address gets in (GHSA-wr5q-7wxw-x568); remove --trusted-ip, or set --trusted-proxy-ip and update oauth2-proxy"
	causeHeader    = "a header that a client may send gets in; remove it from inCheck.include, or look what the authorizer makes of it"
	causeAmbiguous = "an ambiguous path gets in (GHSA-63jm-59jj-478j, GHSA-pxq7-h93f-9jrg, GHSA-7rh7-c77v-6434); update oauth2-proxy, or remove the skip-auth route"
	causeFake      = "a credential that nobody issued gets in; does the authorizer verify signatures?"
)

// set collects attempts at one host.
type set struct {
	host string
	all  []attempt
}

func (s *set) add(cause, method, path string, headers ...string) {
	header := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	s.all = append(s.all, attempt{extauthz.Request{Method: method, Authority: s.host, Path: path, Header: header}, cause})
}

func (s *set) get(cause, path string, headers ...string) {
	s.add(cause, http.MethodGet, path, headers...)
}

// attempts returns all that is tried, the most telling first. open are paths that
// are let through on purpose: what is spelled like them must not be.
func attempts(host string, open []string) []attempt {
	s := &set{host: host}
	s.get(causeEverybody, "/")
	s.get(causeEverybody, "/"+strings.Repeat("a", 64)+"?b=c&d")
	for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodTrace} {
		s.add(causeMethod, method, "/", "Origin", "https://"+host, "Access-Control-Request-Method", "GET")
	}
	s.paths(open)
	s.forged(open)
	s.identities()
	s.all = append(s.all, attempt{extauthz.Request{Method: http.MethodGet, Authority: host + ":443", Path: "/", Header: http.Header{}}, causeEverybody})
	return s.all
}

// paths are the proxy's own, and those that look like an open one.
func (s *set) paths(open []string) {
	for _, path := range ownPaths() {
		for _, spelling := range spellings(path) {
			s.get(causeOwn, spelling)
		}
	}
	for _, path := range open {
		for _, spelling := range around(path) {
			s.get(causeAmbiguous, spelling)
		}
	}
}

// forged are requests that say they are something else, or come from somewhere else.
func (s *set) forged(open []string) {
	for _, agent := range []string{"kube-probe/1.37", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Envoy/HC", "Consul Health Check", "kube-probe", "health", "ping"} {
		s.get(causeAgent, "/", "User-Agent", agent)
	}
	uris := append([]string{"/", "/public", "/ping", "/health", "/healthz", "/favicon.ico", "/static/x", "/oauth2/static/css/bulma.min.css"}, open...)
	for _, uri := range uris {
		for _, name := range []string{"X-Forwarded-Uri", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url"} {
			s.get(causeURI, "/private", name, uri)
		}
	}
	for _, address := range []string{"127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"} {
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "X-Envoy-External-Address", "X-Proxyuser-Ip", "Cf-Connecting-Ip"} {
			s.get(causeAddress, "/", name, address)
		}
		s.get(causeAddress, "/", "Forwarded", "for="+address)
	}
	s.get(causeHeader, "/", "X-Forwarded-Method", http.MethodOptions)
	s.get(causeHeader, "/", "X-Forwarded-Host", "localhost")
	s.get(causeHeader, "/", "X-Forwarded-Proto", "https")
}

// identities are credentials that nobody issued.
func (s *set) identities() {
	s.get(causeHeader, "/", "X-Auth-Request-User", "admin", "X-Auth-Request-Email", "admin@"+s.host, "X-Forwarded-User", "admin", "X-Forwarded-Email", "admin@"+s.host)
	for _, credential := range []string{
		"Bearer", "Bearer x", "Basic Og==", "Basic YWRtaW46YWRtaW4=", "Negotiate x",
		// {"alg":"none"} and {"alg":"HS256"} over {"sub":"admin"}
		"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2ln",
	} {
		s.get(causeFake, "/", "Authorization", credential)
	}
	s.get(causeFake, "/", "Cookie", "_oauth2_proxy=x; _oauth2_proxy_0=y; _oauth2_proxy_csrf=z")
}

// ownPaths are what oauth2-proxy answers itself.
func ownPaths() []string {
	return []string{
		"/ping", "/ready", "/robots.txt", "/oauth2/static/css/bulma.min.css", "/oauth2/sign_in", "/oauth2/sign_out", "/oauth2/start",
		"/oauth2/auth", "/oauth2/userinfo", "/oauth2/callback", "/liveness_check", "/readiness_check", "/metrics",
	}
}

// spellings are those of one path that a gateway may pass on as they are.
func spellings(path string) []string {
	return []string{
		path, path + "/", path + "?a=b", path + ";a", "/" + path, "/." + path, "/a/.." + path, "/a/%2e%2e" + path, "/a%2f.." + path,
		"/%" + strings.ToUpper(hex(path[1])) + path[2:], path + "%00", path + "%23", path + "%3f", strings.ToUpper(path),
	}
}

// around are paths that look like an open one to whoever reads them in another way.
func around(path string) []string {
	base := strings.TrimSuffix(path, "/")
	return []string{
		base + "/../private", base + "/%2e%2e/private", base + "%2f..%2fprivate", base + "/..%2fprivate", base + "/;/../private", base + "/..;/private",
		"//" + strings.TrimPrefix(base, "/") + "/../private", "/private?a=" + base, "/private?" + base, "/private%3f" + base, "/private%23" + base,
		"/private;" + base, "/private/.." + base + "/../private", `/private\..` + base, "/private%00" + base, "/private%0a" + base,
	}
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}
