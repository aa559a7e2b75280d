// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// spoil replaces the access token of a token answer by one with the flaws.
func (p *Provider) spoil(answer map[string]any, flaws TokenFlaws) error {
	if flaws == (TokenFlaws{}) {
		return nil
	}
	if flaws.Opaque {
		answer["access_token"] = "opaque-0123456789"
		return nil
	}
	token, err := jose.ParseSignedCompact(fmt.Sprint(answer["access_token"]), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return fmt.Errorf("reading the issued token: %w", err)
	}
	payload, err := token.Verify(&p.key.PublicKey)
	if err != nil {
		return fmt.Errorf("verifying the issued token: %w", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fmt.Errorf("reading the issued claims: %w", err)
	}
	flaws.apply(claims, time.Now())
	if flaws.Lifetime != 0 {
		answer["expires_in"] = max(0, int(flaws.Lifetime.Seconds()))
	}
	key := p.key
	if flaws.ForeignKey {
		key = p.foreign
	}
	answer["access_token"], err = sign(key, claims)
	return err
}

// apply changes the claims of a good token.
func (f TokenFlaws) apply(claims map[string]any, now time.Time) {
	set := func(name string, value any, wanted bool) {
		if wanted {
			claims[name] = value
		}
	}
	set("exp", now.Add(f.Lifetime).Unix(), f.Lifetime != 0)
	set("nbf", now.Add(f.NotBefore).Unix(), f.NotBefore != 0)
	set("iss", f.Issuer, f.Issuer != "")
	set("aud", f.Audience, f.Audience != nil)
	set("email", f.Email, f.Email != "")
	set("email_verified", f.EmailVerified, f.EmailVerified != nil)
	for name, drop := range map[string]bool{"exp": f.NoExpiry, "aud": f.NoAudience, "sub": f.NoSubject} {
		if drop {
			delete(claims, name)
		}
	}
}

// Sign makes an RS256 JWT of any claims with the published key.
func (p *Provider) Sign(claims map[string]any) (string, error) { return sign(p.key, claims) }

func sign(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("making the signer: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("marshalling the claims: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing the token: %w", err)
	}
	return signed.CompactSerialize()
}
