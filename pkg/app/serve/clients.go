// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/extauth-guard/extauth-guard/pkg/config"
)

// clients says who may ask the webhooks.
type clients struct {
	file  string
	names []string
}

func newClients(settings config.Server) (clients, error) {
	who := clients{file: settings.ClientCA, names: settings.ClientNames}
	if who.file == "" {
		return who, nil
	}
	_, err := who.authorities()
	return who, err
}

func (c clients) authorities() (*x509.CertPool, error) {
	raw, err := os.ReadFile(c.file)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities of clients: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("reading the certificate authorities of clients: %s has no PEM certificate", c.file)
	}
	return pool, nil
}

// ask has TLS verify the certificate of a client that has one. The file is read for
// each handshake, of which there are few, so that a new one needs no restart; while
// it cannot be read nobody gets in. Who has no certificate is refused in [only] and
// not here, so that our own probe of the port is no failed handshake.
func (c clients) ask(base *tls.Config) {
	if c.file == "" {
		return
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := c.authorities()
		if err != nil {
			return nil, err
		}
		asking := base.Clone()
		asking.GetConfigForClient, asking.ClientCAs, asking.ClientAuth = nil, pool, tls.VerifyClientCertIfGiven
		return asking, nil
	}
}

// only refuses who has not shown a certificate, before anything of the body is read.
func (c clients) only(next http.Handler) http.Handler {
	if c.file == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if err := c.check(request.TLS); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, request)
	})
}

func (c clients) check(connection *tls.ConnectionState) error {
	if connection == nil || len(connection.VerifiedChains) == 0 {
		return errors.New("this webhook answers only clients with a certificate; give the API server one in the kubeconfig of its AdmissionConfiguration")
	}
	if name := connection.VerifiedChains[0][0].Subject.CommonName; len(c.names) > 0 && !slices.Contains(c.names, name) {
		return fmt.Errorf("this webhook does not answer the client %q; server.clientNames lists whom it answers", name)
	}
	return nil
}
