// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fakeoauth2proxy is a fake of oauth2-proxy for clusters and tests that
// cannot have the real image: a small authorizer that validates bearer tokens
// with the same library, go-oidc, and answers as oauth2-proxy 7.15 does when it
// runs with the arguments of the client-credentials flow. The answers that open
// a door belong to it: the proxy's own paths answer without a token.
//
// It knows no sessions, no cookies and no login. The contract test of this
// package holds it to a table of requests and answers, and runs the same table
// against the real program where OAUTH2_PROXY_BINARY names one.
package fakeoauth2proxy
