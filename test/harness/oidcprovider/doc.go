// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oidcprovider is a real OpenID Connect provider for tests: it is built
// on github.com/zitadel/oidc, listens on loopback and issues RS256 JWTs by the
// client-credentials grant with the client ID as audience. Given redirects it has
// the authorization-code grant, too, with a page that asks people for their name and
// believes it.
//
// It can be given flaws, one for each way in which a provider of the outside
// world spoils an installation. What the library cannot do wrong is done to its
// requests and answers around it.
package oidcprovider
