// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import "time"

// Flaws is what is wrong with a provider. The zero value is a good provider.
type Flaws struct {
	// IssuerSlash ends the document's issuer with a slash.
	IssuerSlash bool
	// DocumentIssuer is the document's issuer instead of the provider's own.
	DocumentIssuer string
	// NoTokenEndpoint and NoJWKS leave the endpoint out of the document.
	NoTokenEndpoint, NoJWKS bool
	// NoClientCredentials neither offers nor grants client_credentials.
	NoClientCredentials bool
	// GrantsUnstated leaves grant_types_supported out of the document.
	GrantsUnstated bool
	// PostOnly offers and takes client_secret_post alone.
	PostOnly bool
	// BasicRefused offers client_secret_basic, yet refuses it.
	BasicRefused bool
	// KeysOnly offers private_key_jwt alone.
	KeysOnly bool
	// EchoRequest puts the whole request into the description of an error, as
	// some providers do in their debug modes.
	EchoRequest bool
	// TokenStatus answers every token request with this status and an HTML page.
	TokenStatus int
	// Token is what is wrong with the tokens.
	Token TokenFlaws
}

// TokenFlaws is what is wrong with issued tokens.
type TokenFlaws struct {
	// Lifetime instead of an hour; negative is an expired token.
	Lifetime time.Duration
	// NoExpiry leaves exp out.
	NoExpiry bool
	// Issuer instead of the provider's own.
	Issuer string
	// Audience is aud, a string or a list of strings, instead of the client ID.
	Audience any
	// NoAudience leaves aud out.
	NoAudience bool
	// NoSubject leaves sub out.
	NoSubject bool
	// Email is the email claim; empty leaves it out.
	Email string
	// EmailVerified is the email_verified claim; nil leaves it out.
	EmailVerified any
	// NotBefore is how far ahead nbf lies; zero leaves the library's nbf.
	NotBefore time.Duration
	// ForeignKey signs with a key that the provider does not publish.
	ForeignKey bool
	// Opaque issues tokens that are no JWTs.
	Opaque bool
}
