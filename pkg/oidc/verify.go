// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"fmt"
	"net/http"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// Verify checks signature, issuer, audience and expiry of a token at a moment,
// with the library that oauth2-proxy uses, and returns its claims. The keys are
// fetched through client.
func Verify(ctx context.Context, client *http.Client, m Metadata, clientID string, token Secret, now time.Time) (Claims, error) {
	ctx = gooidc.ClientContext(ctx, client)
	verifier := gooidc.NewVerifier(m.Issuer, gooidc.NewRemoteKeySet(ctx, m.JWKSURI), &gooidc.Config{
		ClientID:             clientID,
		SupportedSigningAlgs: m.SigningAlgorithms,
		Now:                  func() time.Time { return now },
	})
	if _, err := verifier.Verify(ctx, token.Reveal()); err != nil {
		return Claims{}, fmt.Errorf("verifying the token against the keys at %s: %s", m.JWKSURI, excerpt(err.Error(), token))
	}
	return DecodeClaims(token.Reveal())
}
