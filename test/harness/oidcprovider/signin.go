// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	authorizePath = "/authorize"
	signedInPath  = "/authorize/callback"
	userinfoPath  = "/userinfo"
	loginPath     = "/login"
)

// signIns are those that have begun, by their identifier. They are for the
// authorization-code grant, which the provider has if it was given redirects.
type signIns struct {
	redirects []string

	mu    sync.Mutex
	begun map[string]*signIn
	codes map[string]string
}

// signIn is op.AuthRequest: somebody on the way from the client's redirect to its
// callback. The user is empty until the form was sent.
type signIn struct {
	id, user string
	request  oidc.AuthRequest
	at       time.Time
}

func (s *signIn) GetID() string                      { return s.id }
func (s *signIn) GetACR() string                     { return "" }
func (s *signIn) GetAMR() []string                   { return []string{"pwd"} }
func (s *signIn) GetAudience() []string              { return []string{s.request.ClientID} }
func (s *signIn) GetAuthTime() time.Time             { return s.at }
func (s *signIn) GetClientID() string                { return s.request.ClientID }
func (s *signIn) GetNonce() string                   { return s.request.Nonce }
func (s *signIn) GetRedirectURI() string             { return s.request.RedirectURI }
func (s *signIn) GetResponseType() oidc.ResponseType { return s.request.ResponseType }
func (s *signIn) GetResponseMode() oidc.ResponseMode { return s.request.ResponseMode }
func (s *signIn) GetScopes() []string                { return s.request.Scopes }
func (s *signIn) GetState() string                   { return s.request.State }
func (s *signIn) GetSubject() string                 { return s.user }
func (s *signIn) Done() bool                         { return s.user != "" }

func (s *signIn) GetCodeChallenge() *oidc.CodeChallenge {
	if s.request.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: s.request.CodeChallenge, Method: s.request.CodeChallengeMethod}
}

// get returns a copy, which nobody changes.
func (s *signIns) get(id string) (*signIn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, found := s.begun[id]
	if !found {
		return nil, errors.New("no such sign-in has begun, or it is over")
	}
	one := *known
	return &one, nil
}

// finish says who signed in.
func (s *signIns) finish(id, user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, found := s.begun[id]
	if found {
		known.user = user
	}
	return found
}

// CreateAuthRequest begins a sign-in.
func (s *storage) CreateAuthRequest(_ context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	one := &signIn{id: rand.Text(), request: *request, at: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[one.id] = one
	return one, nil
}

// AuthRequestByID returns a sign-in.
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	return s.get(id)
}

// AuthRequestByCode returns the sign-in that a code was given for.
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.get(id)
}

// SaveAuthCode remembers what a code was given for.
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// DeleteAuthRequest ends a sign-in: its code is used.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.begun, id)
	return nil
}

// AuthorizeClientIDSecret authenticates a client that brings a code.
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	want, known := s.clients[id]
	if !known || subtle.ConstantTimeCompare([]byte(want), []byte(secret)) != 1 {
		return errors.New("unknown client or wrong secret")
	}
	return nil
}

// SetUserinfoFromScopes says who somebody is, for the ID token.
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, _ []string) error {
	info.Subject, info.Email, info.EmailVerified = user, user+"@example.com", true
	return nil
}

// SetUserinfoFromToken says the same at the userinfo endpoint.
func (s *storage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, _, user, _ string) error {
	return s.SetUserinfoFromScopes(ctx, info, user, "", nil)
}

// RedirectURIs are where people may come back to.
func (c client) RedirectURIs() []string { return slices.Clone(c.redirects) }

// LoginURL is the page with the form.
func (c client) LoginURL(id string) string { return c.issuer + loginPath + "?id=" + id }

func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) IDTokenLifetime() time.Duration       { return lifetime }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(string) bool           { return false }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

// RestrictAdditionalIdTokenScopes keeps all scopes.
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:revive // the interface spells it so
	return c.RestrictAdditionalAccessTokenScopes()
}

// form asks who somebody is; the provider believes it.
const form = `<!doctype html><title>Sign in</title>
<form method="post" action="%s"><input type="hidden" name="id" value="%s"><input name="user"><button>Sign in</button></form>
`

// login shows the form, and sends whoever filled it back on the way to the client.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, form, html.EscapeString(p.issuer+loginPath), html.EscapeString(r.URL.Query().Get("id")))
		return
	}
	id, user := r.PostFormValue("id"), r.PostFormValue("user")
	if user == "" || !p.signIns.finish(id, user) {
		http.Error(w, "no user, or no such sign-in", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, fmt.Sprintf("%s%s?id=%s", p.issuer, signedInPath, id), http.StatusFound)
}
