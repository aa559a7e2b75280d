// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidcprovider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Options says what a provider is like.
type Options struct {
	// Clients maps client IDs to secrets.
	Clients map[string]string
	// Redirects are where people may come back to after they signed in; without any
	// the provider has no authorization-code grant.
	Redirects []string
	// TLS serves https with a certificate of the provider's own CA.
	TLS bool
	// Issuer is the issuer's URL where others reach it by another name than this
	// machine's, such as that of a Service; empty means where it listens.
	Issuer string
	// Path is the issuer's path, such as /tenant; empty means none.
	Path string
	// Address to listen on; empty means a free port of 127.0.0.1.
	Address string
	// Flaws are the flaws to start with.
	Flaws Flaws
}

// Provider is a running provider.
type Provider struct {
	issuer  string
	ca      []byte
	server  *http.Server
	library http.Handler
	prefix  string
	key     *rsa.PrivateKey
	foreign *rsa.PrivateKey
	signIns *signIns

	mu       sync.Mutex
	flaws    Flaws
	requests []string
}

// New starts a provider on loopback. Close ends it.
func New(ctx context.Context, opts Options) (*Provider, error) {
	address := opts.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the OIDC provider: %w", err)
	}
	p := &Provider{prefix: strings.TrimSuffix(opts.Path, "/"), flaws: opts.Flaws}
	if err := p.build(listener.Addr().String(), opts); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if opts.TLS {
		certificate, ca, err := newCertificate(listener.Addr())
		if err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		p.ca = ca
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	}
	p.server = &http.Server{
		Handler: p, ReadHeaderTimeout: 10 * time.Second,
		// Handshakes that tests spoil on purpose are not worth a line.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Start is New for tests: it fails the test instead of returning an error, and
// closes the provider when the test ends.
func Start(tb testing.TB, opts Options) *Provider {
	tb.Helper()
	p, err := New(tb.Context(), opts)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = p.Close() })
	return p
}

func (p *Provider) build(address string, opts Options) error {
	scheme := "http"
	options := []op.Option{}
	if opts.TLS {
		scheme = "https"
	} else {
		options = append(options, op.WithAllowInsecure())
	}
	p.issuer = scheme + "://" + address + p.prefix
	if opts.Issuer != "" {
		p.issuer = opts.Issuer
	}
	var err error
	if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return fmt.Errorf("making the signing key: %w", err)
	}
	if p.foreign, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return fmt.Errorf("making the foreign key: %w", err)
	}
	p.signIns = &signIns{redirects: opts.Redirects, begun: map[string]*signIn{}, codes: map[string]string{}}
	p.library, err = op.NewProvider(&op.Config{AuthMethodPost: true, CodeMethodS256: true},
		&storage{signIns: p.signIns, clients: opts.Clients, key: p.key, issuer: p.issuer}, op.StaticIssuer(p.issuer), options...)
	if err != nil {
		return fmt.Errorf("building the OIDC provider: %w", err)
	}
	return nil
}

// Issuer is the issuer URL to configure.
func (p *Provider) Issuer() string { return p.issuer }

// CA is the PEM certificate to trust; nil without TLS.
func (p *Provider) CA() []byte { return p.ca }

// SetFlaws replaces the provider's flaws.
func (p *Provider) SetFlaws(f Flaws) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flaws = f
}

// Requests returns method and path of every request so far, in order.
func (p *Provider) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// Close ends the provider and its connections.
func (p *Provider) Close() error { return p.server.Close() }
