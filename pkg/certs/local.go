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
	"math/big"
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
// is never written. Keys are ECDSA P-256, which keeps handshakes cheap.
func WriteLocal(directory string, now time.Time) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the CA's key: %w", err)
	}
	ca := template("extauth-guard local CA", 1, now)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caCertificate, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("making the CA: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the serving key: %w", err)
	}
	leaf := template("localhost", 2, now)
	leaf.DNSNames, leaf.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	certificate, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return fmt.Errorf("making the serving certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding the serving key: %w", err)
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("making the certificate directory: %w", err)
	}
	for _, file := range []struct {
		name, block string
		der         []byte
	}{
		{CAFile, "CERTIFICATE", caCertificate},
		{CertificateFile, "CERTIFICATE", certificate},
		{KeyFile, "PRIVATE KEY", keyDER},
	} {
		content := pem.EncodeToMemory(&pem.Block{Type: file.block, Bytes: file.der})
		if err := os.WriteFile(filepath.Join(directory, file.name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", file.name, err)
		}
	}
	return nil
}

func template(name string, serial int64, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks differ a little
		NotAfter:     now.Add(localValidity),
	}
}
