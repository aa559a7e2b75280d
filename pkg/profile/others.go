// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import "slices"

// IdentityHeaders are those by which the others than oauth2-proxy say to a workload who
// somebody is, in lower case.
func IdentityHeaders() []string {
	return slices.Concat(authelia().Upstream, authentik().Upstream)
}

// authelia follows Authelia's guide for Istio. The endpoint for Envoy takes the method
// and the host of the check and the path behind its own; the scheme it takes from
// X-Forwarded-Proto, and it refuses whatever is not https, because its cookie is for
// https only. Its guide takes the scheme of the hop: in Kyma the check is made by the
// sidecar, behind the gateway that ends TLS, so the entry says https. The endpoint's name
// can be configured, so that only the beginning of its path is certain.
func authelia() Profile {
	return Profile{
		Name:       "authelia",
		Title:      "Authelia",
		Source:     "https://www.authelia.com/integration/kubernetes/envoy/istio/",
		Port:       80,
		PathPrefix: "/api/authz/ext-authz/",
		Endpoint:   "/api/authz/",
		Requires: []Requirement{
			{"x-forwarded-proto", "takes every request for plain http, which it refuses"},
			{"cookie", "does not see who has signed in"},
		},
		Upstream: []string{"remote-user", "remote-groups", "remote-name", "remote-email"},
		SignIn:   true,
		words:    []string{"authelia"},
		add:      map[string]string{"x-forwarded-proto": "https"},
		include:  []string{"accept", "authorization", "cookie", "proxy-authorization", "x-forwarded-for"},
	}
}

// authentik follows authentik's guide for Envoy and the code of its outpost
// (internal/outpost/proxyv2/application/mode_forward.go), which cuts the prefix off the
// path and lets through every path below /outpost.goauthentik.io, because people come
// back from a sign-in there. Outposts that authentik deploys have Services named
// ak-outpost-NAME with the port 9000. The guide swaps the cookie of the two directions;
// the code sets it with Set-Cookie on its answer to the client.
func authentik() Profile {
	return Profile{
		Name:       "authentik",
		Title:      "authentik",
		Source:     "https://docs.goauthentik.io/add-secure-apps/providers/proxy/server_envoy",
		Port:       9000,
		PathPrefix: "/outpost.goauthentik.io/auth/envoy",
		Endpoint:   "/outpost.goauthentik.io/auth/envoy",
		Requires:   []Requirement{{"cookie", "does not see who has signed in"}},
		Upstream: []string{
			"x-authentik-username", "x-authentik-groups", "x-authentik-entitlements", "x-authentik-email", "x-authentik-name", "x-authentik-uid",
		},
		SignIn:  true,
		words:   []string{"ak-outpost", "authentik", "goauthentik"},
		include: []string{"accept", "authorization", "cookie", "x-forwarded-for"},
	}
}

// pomerium has no entry. Its authorize service answers Envoy by gRPC only
// (envoy.service.auth.v3.Authorization, authorize/grpc.go), for the Envoy that Pomerium
// runs itself; the forward authentication by HTTP was removed in version 0.21.
func pomerium() Profile {
	return Profile{
		Name:     "pomerium",
		Title:    "Pomerium",
		Source:   "https://www.pomerium.com/docs/deploy/core/upgrading",
		GRPCOnly: true,
		SignIn:   true,
		words:    []string{"pomerium"},
	}
}
