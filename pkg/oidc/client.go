// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// DefaultTimeout bounds one request to a provider when HTTPOptions has none.
const DefaultTimeout = 10 * time.Second

// HTTPOptions says how a provider is reached.
type HTTPOptions struct {
	// CA is a bundle of PEM certificates that are trusted beside the system's.
	// Empty means the system's alone.
	CA []byte
	// Timeout bounds one request with its answer; zero means DefaultTimeout.
	Timeout time.Duration
	// Dial replaces how connections are made; nil means the network. A dialer
	// is for tests and port forwards and switches the environment's proxy off.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewHTTPClient returns a client for a provider. HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY are read from the environment once, here. A redirect from https to
// http is refused, and so is the sixth in a row.
func NewHTTPClient(opts HTTPOptions) (*http.Client, error) {
	pool, err := certPool(opts.CA)
	if err != nil {
		return nil, err
	}
	timeout := opts.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	transport := &http.Transport{
		DialContext:           opts.Dial,
		TLSClientConfig:       &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   timeout,
		ResponseHeaderTimeout: timeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       30 * time.Second,
	}
	if opts.Dial == nil {
		transport.DialContext = (&net.Dialer{Timeout: timeout}).DialContext
		proxy := httpproxy.FromEnvironment().ProxyFunc()
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	}
	return &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: checkRedirect}, nil
}

// certPool adds a PEM bundle to the system's certificates; nil means those.
func certPool(bundle []byte) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		// A minimal image has no system certificates, which is no reason to
		// distrust the bundle that was given for exactly that.
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("reading the CA bundle of the issuer: no PEM certificate in it; give the certificates between BEGIN CERTIFICATE and END CERTIFICATE lines")
	}
	return pool, nil
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errors.New("more than five redirects")
	}
	if via[len(via)-1].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return fmt.Errorf("redirected from https to %s, which is refused", next.URL.Redacted())
	}
	return nil
}
