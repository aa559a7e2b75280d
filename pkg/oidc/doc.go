// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oidc asks an OpenID Connect provider the few things this project
// needs to know: where its endpoints are, a token for the client-credentials
// grant, and what oauth2-proxy will think of that token.
//
// Everything that is secret travels as a [Secret], and no error of this package
// contains one: an error names the URL, the status and a bounded part of the
// answer, with the secret's bytes replaced should the provider echo them.
// Clocks and HTTP clients are arguments.
package oidc
