// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

// oauth2Proxy is the proxy for clients that bring tokens. The prefix keeps the proxy's
// own paths (/ping, /ready, /oauth2/…), which answer without a token, from being reached
// through the protected apps (Kyma istio ADR 0012; oauth2-proxy issue 862).
func oauth2Proxy() Profile {
	return Profile{
		Name:       "oauth2-proxy",
		Title:      "oauth2-proxy",
		Source:     "https://oauth2-proxy.github.io/oauth2-proxy/configuration/overview",
		Port:       80,
		PathPrefix: "/verify?original=",
		words:      []string{"oauth2-proxy"},
		include:    []string{"authorization", "x-forwarded-for"},
	}
}

// OAuth2ProxySignIn is the proxy for people with a browser. It reads where a sign-in ends
// from the first rd of the query: the one of the prefix is empty, so that an app's own rd
// decides nothing. test/integration/proxy has the table by which both prefixes were
// chosen. The headers are those of Kyma's tutorial, less the tokens that it sends to the
// browser and what the proxy never answers with: Envoy would let through what a client
// sends under that name. More than there are the cookie that the proxy renews, and accept,
// by which the proxy answers a script with 401 instead of a login page.
func OAuth2ProxySignIn() Profile {
	p := oauth2Proxy()
	p.SignIn = true
	p.PathPrefix = "/verify?rd=&original="
	p.include = []string{"accept", "authorization", "cookie", "x-forwarded-for"}
	p.add = map[string]string{"x-forwarded-uri": "https://%REQ(:authority)%%REQ(x-envoy-original-path?:path)%"}
	p.Upstream = []string{
		"authorization", "x-auth-request-user", "x-auth-request-email", "x-auth-request-groups",
		"x-auth-request-preferred-username", "x-auth-request-access-token",
	}
	return p
}

// OAuth2ProxyTokens is the proxy for clients that bring tokens.
func OAuth2ProxyTokens() Profile { return oauth2Proxy() }
