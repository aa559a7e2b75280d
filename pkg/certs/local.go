// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certs provides the serving certificate of the webhooks.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files of a certificate directory.
const (
	CAFile          = "ca.crt"
	CertificateFile = "tls.crt"
	KeyFile         = "tls.key"
)

// localValidity is how long a local certificate is valid; a local run is short.
const localValidity = 7 * 24 * time.Hour

// WriteLocal makes a CA and, signed by it, a certificate for the loopback
// addresses, and writes [CAFile], [CertificateFile] and [KeyFile] to directory,
// which it makes if needed. Files of an earlier run are replaced. The CA's key
// is never written. Keys are ECDSA P-256.
func WriteLocal(directory string, now time.Time) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the CA's key: %w", err)
	}
	ca := template("extauth-guard local CA", now)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caCertificate, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("making the CA: %w", err)
	}
	leaf := template("localhost", now)
	leaf.DNSNames, leaf.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	certificate, key, err := serving(leaf, ca, caKey)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("making the certificate directory: %w", err)
	}
	for name, content := range map[string][]byte{
		CAFile:          pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: caCertificate}),
		CertificateFile: certificate,
		KeyFile:         key,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

func template(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate),
		NotAfter:  now.Add(localValidity),
	}
}
