// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// wellKnown is the path of the discovery document below an issuer (OpenID
// Connect Discovery 1.0, section 4).
const wellKnown = "/.well-known/openid-configuration"

// GrantClientCredentials names the grant of RFC 6749, section 4.4.
const GrantClientCredentials = "client_credentials"

// Client authentication methods of the token endpoint (OpenID Connect Core 1.0,
// section 9).
const (
	// AuthBasic sends id and secret in the Authorization header.
	AuthBasic = "client_secret_basic"
	// AuthPost sends id and secret in the body.
	AuthPost = "client_secret_post"
)

// bodyLimit bounds what is read of any answer of a provider.
const bodyLimit = 1 << 20

// Metadata is the part of a discovery document that this project uses.
type Metadata struct {
	// Issuer is the issuer, equal to the one that was asked for.
	Issuer string
	// TokenEndpoint and JWKSURI are absolute URLs and never empty.
	TokenEndpoint, JWKSURI string
	// AuthorizationEndpoint is an absolute URL, or empty where the provider
	// has no interactive flow.
	AuthorizationEndpoint string
	// GrantTypes is what the document says, or the default of the
	// specification, authorization_code and implicit (OpenID Connect
	// Discovery 1.0, section 3; RFC 8414, section 2).
	GrantTypes []string
	// GrantTypesStated is false if GrantTypes is that default.
	GrantTypesStated bool
	// TokenAuthMethods is what the document says, or the default of the
	// specification, client_secret_basic.
	TokenAuthMethods []string
	// SigningAlgorithms is id_token_signing_alg_values_supported.
	SigningAlgorithms []string
}

// document is the wire form of a discovery document.
type document struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	GrantTypes            []string `json:"grant_types_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	SigningAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
}

// CheckClientCredentials returns an ErrNoClientCredentials if the provider says
// which grants it offers and this one is not among them. A provider that says
// nothing is given the benefit of the doubt, many offer the grant without
// saying so, and its token endpoint will tell.
func (m Metadata) CheckClientCredentials() error {
	if !m.GrantTypesStated || slices.Contains(m.GrantTypes, GrantClientCredentials) {
		return nil
	}
	return fmt.Errorf("issuer %s offers the grants %s: %w; allow the client_credentials grant at the provider, or use the authorization-code flow",
		m.Issuer, strings.Join(m.GrantTypes, ", "), ErrNoClientCredentials)
}

// Discover reads the discovery document of an issuer. The document must name
// exactly the issuer that was asked for, byte for byte (OpenID Connect Discovery
// 1.0, section 4.3; RFC 8414, section 3.3): oauth2-proxy compares the same way
// and exits at start if they differ.
func Discover(ctx context.Context, client *http.Client, issuer string) (Metadata, error) {
	if err := checkIssuer(issuer); err != nil {
		return Metadata{}, err
	}
	address := strings.TrimSuffix(issuer, "/") + wellKnown
	body, err := get(ctx, client, address)
	if err != nil {
		return Metadata{}, fmt.Errorf("reading the discovery document of the issuer: %w", err)
	}
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return Metadata{}, fmt.Errorf("reading the discovery document %s: not the JSON object of OpenID Connect Discovery (%w), it starts with %q; is this the issuer URL?",
			address, err, excerpt(string(body)))
	}
	if err := compareIssuer(issuer, doc.Issuer, address); err != nil {
		return Metadata{}, err
	}
	if err := errors.Join(
		checkEndpoint("token_endpoint", doc.TokenEndpoint),
		checkEndpoint("jwks_uri", doc.JWKSURI),
	); err != nil {
		return Metadata{}, fmt.Errorf("reading the discovery document %s: %w", address, err)
	}
	return doc.metadata(), nil
}

func (d document) metadata() Metadata {
	m := Metadata{
		Issuer:                d.Issuer,
		TokenEndpoint:         d.TokenEndpoint,
		JWKSURI:               d.JWKSURI,
		AuthorizationEndpoint: d.AuthorizationEndpoint,
		GrantTypes:            d.GrantTypes,
		GrantTypesStated:      d.GrantTypes != nil,
		TokenAuthMethods:      d.TokenAuthMethods,
		SigningAlgorithms:     d.SigningAlgorithms,
	}
	if d.GrantTypes == nil {
		m.GrantTypes = []string{"authorization_code", "implicit"}
	}
	if d.TokenAuthMethods == nil {
		m.TokenAuthMethods = []string{AuthBasic}
	}
	return m
}

// checkIssuer refuses what cannot be an issuer before anything is asked.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("issuer %q is not an absolute http or https URL; use the value of \"issuer\" in the provider's discovery document", excerpt(issuer))
	}
	if u.User != nil {
		return fmt.Errorf("issuer %s carries credentials; remove the part before the @", u.Redacted())
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Errorf("issuer %q has a query or a fragment, which an issuer must not have (OpenID Connect Discovery 1.0, section 3)", issuer)
	}
	if strings.HasSuffix(u.Path, wellKnown) {
		return fmt.Errorf("issuer %q is the address of the discovery document; the issuer is that without %s", issuer, wellKnown)
	}
	return nil
}

// compareIssuer insists on equality and explains the usual way to miss it.
func compareIssuer(configured, stated, address string) error {
	switch {
	case configured == stated:
		return nil
	case stated == "":
		return fmt.Errorf("discovery document %s names no issuer: %w", address, ErrIssuerMismatch)
	case configured == stated+"/":
		return fmt.Errorf("issuer %q ends with a slash, the provider calls itself %q without one: %w: %w; remove the slash",
			configured, stated, ErrIssuerMismatch, ErrIssuerSlash)
	case configured+"/" == stated:
		return fmt.Errorf("issuer %q lacks the slash at the end that the provider's %q has: %w: %w; add the slash",
			configured, stated, ErrIssuerMismatch, ErrIssuerSlash)
	}
	return fmt.Errorf("discovery document %s says the issuer is %q, not %q: %w; both must be the same to the letter, set the issuer to the provider's own",
		address, excerpt(stated), configured, ErrIssuerMismatch)
}

func checkEndpoint(field, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing; oauth2-proxy cannot work with this provider", field)
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("%s is not an absolute URL: %q", field, excerpt(value))
	}
	return nil
}

// get returns the body of a 200 answer, and anything else as an error.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of GET %s: %w", address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, newResponseError(http.MethodGet, address, resp.StatusCode, body)
	}
	return body, nil
}

// unreachable marks an error of the transport, which already names method and
// URL, and adds what to look at.
func unreachable(err error) error {
	hint := "check the URL, name resolution, network policies and the proxy settings"
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case errors.As(err, &authority):
		hint = "give the CA certificate that signed the provider's certificate"
	case errors.As(err, &hostname):
		hint = "the provider's certificate is for another host name"
	}
	return fmt.Errorf("%w: %w; %s", ErrUnreachable, err, hint)
}
