// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import (
	"context"
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// lifetime is that of a good token.
const lifetime = time.Hour

// keyID names the published key.
const keyID = "oidcprovider"

// storage is op.Storage for the two grants this provider has. The embedded nil
// interface stands for the methods of other grants; the handler in front of the
// library lets none of their requests pass.
type storage struct {
	op.Storage
	*signIns
	clients map[string]string
	key     *rsa.PrivateKey
	issuer  string
}

func (s *storage) Health(context.Context) error { return nil }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{s.key}, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{s.key}}, nil }

func (s *storage) ClientCredentials(_ context.Context, id, secret string) (op.Client, error) {
	want, known := s.clients[id]
	if !known || subtle.ConstantTimeCompare([]byte(want), []byte(secret)) != 1 {
		return nil, oidc.ErrInvalidClient().WithDescription("unknown client or wrong secret")
	}
	return s.client(id), nil
}

func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return tokenRequest{id: id, scopes: scopes}, nil
}

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return "access", time.Now().UTC().Add(lifetime), nil
}

func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if _, known := s.clients[id]; !known {
		return nil, errors.New("unknown client")
	}
	return s.client(id), nil
}

func (s *storage) client(id string) client {
	return client{id: id, issuer: s.issuer, redirects: s.redirects}
}

// tokenRequest makes the client ID the audience, as oauth2-proxy wants it.
type tokenRequest struct {
	id     string
	scopes []string
}

func (r tokenRequest) GetSubject() string    { return r.id }
func (r tokenRequest) GetAudience() []string { return []string{r.id} }
func (r tokenRequest) GetScopes() []string   { return r.scopes }

// client is op.Client for both grants.
type client struct {
	op.Client
	id, issuer string
	redirects  []string
}

func (c client) GetID() string { return c.id }
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials, oidc.GrantTypeCode}
}
func (c client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }
func (c client) ClockSkew() time.Duration            { return 0 }

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

type signingKey struct{ key *rsa.PrivateKey }

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.key }
func (k signingKey) ID() string                                  { return keyID }

type publicKey struct{ key *rsa.PrivateKey }

func (k publicKey) ID() string                         { return keyID }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.key.PublicKey }
