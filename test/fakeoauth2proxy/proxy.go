// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package fakeoauth2proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// Proxy is the running fake.
type Proxy struct {
	options  Options
	status   int
	login    string
	verifier *gooidc.IDTokenVerifier
}

// New discovers the issuer and returns the handler. It fails where oauth2-proxy
// exits at start: the issuer cannot be reached, or its document names another,
// be it by a trailing slash. The context is that of the key fetches too, so it
// must live as long as the proxy. A nil clock is the system's.
func New(ctx context.Context, o Options, now func() time.Time) (*Proxy, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("invalid configuration: %w", err)
	}
	client, err := httpClient(o.ProviderCA)
	if err != nil {
		return nil, err
	}
	document, err := discover(ctx, client, o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovering the issuer: %w", err)
	}
	status, err := o.upstreamStatus()
	if err != nil {
		return nil, err
	}
	ctx = gooidc.ClientContext(ctx, client)
	return &Proxy{
		options: o,
		status:  status,
		login:   document.AuthorizationEndpoint,
		verifier: gooidc.NewVerifier(o.Issuer, gooidc.NewRemoteKeySet(ctx, document.JWKSURI), &gooidc.Config{
			ClientID: o.ClientID, SupportedSigningAlgs: document.Algorithms, Now: now,
		}),
	}, nil
}

func httpClient(ca []byte) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if len(ca) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("provider-ca-file holds no PEM certificate")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	Algorithms            []string `json:"id_token_signing_alg_values_supported"`
}

// discover compares the issuer as oauth2-proxy does, to the letter.
func discover(ctx context.Context, client *http.Client, issuer string) (document, error) {
	var d document
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return d, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return d, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return d, fmt.Errorf("unexpected status %d from %s", resp.StatusCode, req.URL)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&d); err != nil {
		return d, fmt.Errorf("reading %s: %w", req.URL, err)
	}
	if d.Issuer != issuer {
		return d, fmt.Errorf("issuer did not match the issuer returned by provider, expected %q got %q", issuer, d.Issuer)
	}
	return d, nil
}

// ServeHTTP answers a check. The order is oauth2-proxy's: the path is cleaned by
// a redirect before anything else, then come its own paths, then the session
// (7.15, oauthproxy.go, buildServeMux).
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	escaped := r.URL.EscapedPath()
	if cleaned := clean(escaped); cleaned != escaped {
		redirect(w, &url.URL{Opaque: cleaned, RawQuery: r.URL.RawQuery})
		return
	}
	switch {
	case escaped == "/ping" || escaped == "/ready":
		_, _ = io.WriteString(w, "OK")
	case escaped == "/robots.txt":
		_, _ = io.WriteString(w, "User-agent: *\nDisallow: /\n")
	case strings.HasPrefix(escaped, "/oauth2/"):
		p.own(w, r, escaped)
	default:
		p.check(w, r)
	}
}

func redirect(w http.ResponseWriter, to *url.URL) {
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusMovedPermanently)
}

// clean is the canonical form of a path, by the rules of gorilla/mux.
func clean(escaped string) string {
	if escaped == "" {
		return "/"
	}
	cleaned := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

// own answers the paths below the proxy's prefix; unknown ones are like any path.
func (p *Proxy) own(w http.ResponseWriter, r *http.Request, escaped string) {
	switch {
	case strings.HasPrefix(escaped, "/oauth2/static/"):
		p.static(w, r, strings.TrimPrefix(escaped, "/oauth2/static/"))
	case escaped == "/oauth2/auth":
		p.ownWithSession(w, r, http.StatusAccepted, "")
	case escaped == "/oauth2/userinfo":
		p.ownWithSession(w, r, http.StatusOK, "{}")
	case escaped == "/oauth2/sign_in" && !p.options.SkipProviderButton:
		_, _ = io.WriteString(w, "<html>sign in</html>")
	case escaped == "/oauth2/sign_in", escaped == "/oauth2/start":
		http.Redirect(w, r, p.loginURL(), http.StatusFound)
	case escaped == "/oauth2/sign_out":
		http.Redirect(w, r, "/", http.StatusFound)
	case escaped == "/oauth2/callback":
		// There is no state to come back with.
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	default:
		p.check(w, r)
	}
}

// static serves the files of the sign-in page that matter: those a prober tries.
func (p *Proxy) static(w http.ResponseWriter, r *http.Request, name string) {
	switch name {
	case "", "css/", "css/bulma.min.css", "css/all.min.css":
		_, _ = io.WriteString(w, "/* static */")
	default:
		http.NotFound(w, r)
	}
}

func (p *Proxy) ownWithSession(w http.ResponseWriter, r *http.Request, status int, body string) {
	if !p.authenticated(r) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// check is the catch-all: the upstream's status with a session, else the refusal
// that the flags ask for.
func (p *Proxy) check(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.authenticated(r) && clean(r.URL.Path) != r.URL.Path:
		// The upstreams have a router of their own, which cleans the decoded path.
		redirect(w, &url.URL{Path: clean(r.URL.Path), RawQuery: r.URL.RawQuery})
	case p.authenticated(r):
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, "Authenticated")
	case p.options.ForceJSONErrors:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "{}")
	case p.options.SkipProviderButton:
		http.Redirect(w, r, p.loginURL(), http.StatusFound)
	default:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<html>sign in</html>")
	}
}

func (p *Proxy) loginURL() string {
	return p.login + "?" + url.Values{"client_id": {p.options.ClientID}, "response_type": {"code"}}.Encode()
}
