// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Credentials identify a client to its provider.
type Credentials struct {
	// ClientID is public; it is the audience oauth2-proxy insists on.
	ClientID string
	// Secret is the client secret.
	Secret Secret
}

// Token is what the token endpoint gave.
type Token struct {
	// Access is the access token.
	Access Secret
	// Type is the token_type, normally Bearer.
	Type string
	// Expiry is derived from expires_in; zero if the provider gave none.
	Expiry time.Time
	// AuthMethod is the client authentication method that worked.
	AuthMethod string
}

// ClientCredentials gets a token by the client-credentials grant (RFC 6749,
// section 4.4). It authenticates with client_secret_basic where the provider
// offers it, and with client_secret_post where that alone is offered or basic
// was refused with invalid_client. Scopes are optional; none sends no scope
// parameter. Redirects of the token endpoint are not followed, they would carry
// the secret to somewhere else.
func ClientCredentials(ctx context.Context, client *http.Client, m Metadata, c Credentials, scopes ...string) (Token, error) {
	switch {
	case c.ClientID == "":
		return Token{}, errors.New("getting a token: the client ID is empty; set client-id in the credentials Secret")
	case c.Secret.IsEmpty():
		return Token{}, errors.New("getting a token: the client secret is empty; set client-secret in the credentials Secret")
	}
	methods := usableMethods(m.TokenAuthMethods)
	if len(methods) == 0 {
		return Token{}, fmt.Errorf("getting a token: %w: %s offers %s; allow %s or %s for the client at the provider",
			ErrNoAuthMethod, m.TokenEndpoint, strings.Join(m.TokenAuthMethods, ", "), AuthBasic, AuthPost)
	}
	strict := *client
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &strict)

	var refusals []error
	for _, method := range methods {
		token, err := requestToken(ctx, m, c, method, scopes)
		if err == nil {
			return token, nil
		}
		refusals = append(refusals, fmt.Errorf("getting a token for client %q with %s: %w", c.ClientID, method, err))
		if !refusedClient(err) {
			break
		}
	}
	return Token{}, errors.Join(refusals...)
}

// usableMethods returns what we can do of what is offered, in order of choice.
func usableMethods(offered []string) []string {
	var usable []string
	for _, method := range []string{AuthBasic, AuthPost} {
		if slices.Contains(offered, method) {
			usable = append(usable, method)
		}
	}
	return usable
}

// refusedClient says whether another authentication method may fare better.
func refusedClient(err error) bool {
	var re *ResponseError
	if !errors.As(err, &re) {
		return false
	}
	return re.Code == "invalid_client" || (re.Code == "" && re.Status == http.StatusUnauthorized)
}

func requestToken(ctx context.Context, m Metadata, c Credentials, method string, scopes []string) (Token, error) {
	style := oauth2.AuthStyleInHeader
	if method == AuthPost {
		style = oauth2.AuthStyleInParams
	}
	config := clientcredentials.Config{
		ClientID:     c.ClientID,
		ClientSecret: c.Secret.Reveal(),
		TokenURL:     m.TokenEndpoint,
		Scopes:       scopes,
		AuthStyle:    style,
	}
	got, err := config.Token(ctx)
	if err != nil {
		return Token{}, tokenError(err, m.TokenEndpoint, c)
	}
	return Token{Access: NewSecret(got.AccessToken), Type: got.Type(), Expiry: got.Expiry, AuthMethod: method}, nil
}

// tokenError translates what the oauth2 library says into our errors. Its own
// text may hold the whole answer, hence nothing of it passes unread.
func tokenError(err error, endpoint string, c Credentials) error {
	// The header that basic authentication sends is the base64 of id and secret
	// together, which hides the secret from a search for the secret alone.
	secrets := []Secret{c.Secret, basicPair(c)}
	if retrieve, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		re := newResponseError(http.MethodPost, endpoint, retrieve.Response.StatusCode, retrieve.Body, secrets...)
		if re.Code == "" && retrieve.ErrorCode != "" {
			// A form-encoded answer, which only the library has parsed.
			re.Code = excerpt(retrieve.ErrorCode, secrets...)
			re.Description = excerpt(retrieve.ErrorDescription, secrets...)
		}
		return re
	}
	var transport interface{ Timeout() bool }
	if errors.As(err, &transport) {
		return unreachable(err)
	}
	return fmt.Errorf("POST %s answered with something that is no token: %s; is this the token endpoint?",
		endpoint, excerpt(err.Error(), secrets...))
}

// basicPair is what the Authorization header of basic authentication encodes.
func basicPair(c Credentials) Secret {
	return NewSecret(url.QueryEscape(c.ClientID) + ":" + url.QueryEscape(c.Secret.Reveal()))
}
