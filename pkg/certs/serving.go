// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// The types of the PEM blocks that are written (RFC 7468, sections 5 and 10).
const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// serving makes a key and the certificate of it that template describes, signed by
// an authority with its key, and returns both as PEM. A serial number is chosen.
//
// The key is ECDSA P-256: an API server opens connections whenever it has more
// requests under way than it keeps connections, and signing a handshake with RSA
// takes the webhook many times as long.
func serving(template, authority *x509.Certificate, authorityKey crypto.Signer) (certificate, key []byte, err error) {
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.BasicConstraintsValid = true
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making the serving key: %w", err)
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, authority, private.Public(), authorityKey)
	if err != nil {
		return nil, nil, fmt.Errorf("making the serving certificate: %w", err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the serving key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: signed}), pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: encoded}), nil
}
