// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

// The keys of the Secret, besides those of the certificate files.
const caKeyFile = "ca.key"

// caName is the common name of the authority. It never changes, so that a
// replaced authority is known for one.
const caName = "extauth-guard-ca"

// overlap is how long a new authority is trusted before anything signed by it is
// served. API servers learn of it by a watch, within a second or so.
const overlap = time.Minute

// backdate is how long before now a certificate begins: clocks differ a little.
const backdate = time.Hour

// Validity says how long certificates live.
type Validity struct {
	// Certificate is for a serving certificate, which is renewed RenewBefore its end.
	Certificate, RenewBefore time.Duration
	// Authority is for the certificate authority, which is replaced when less than
	// twice a certificate's life is left of its own.
	Authority time.Duration
}

// material is what the Secret holds, as it holds it.
type material struct {
	// authorities is PEM: the authority that signs, first, and the one before it.
	authorities, caKey []byte
	certificate, key   []byte
}

// action is what has to happen to a material.
type action string

const (
	keep             action = ""
	replaceEverybody action = "made a certificate authority and a certificate"
	replaceAuthority action = "made a certificate authority; the one before stays trusted"
	renewCertificate action = "made a certificate"
)

// next says what has to happen to m at now, and when to look again at the latest.
//
// An authority is replaced in two steps. First the new one is trusted, next to
// the old one; after [overlap] certificates are signed by it. In between nothing
// is served that some API server does not trust.
func (m material) next(now time.Time, validity Validity, names []string) (action, time.Time) {
	signer, err := m.signer(now)
	if err != nil {
		return replaceEverybody, now
	}
	leaf, err := m.leaf(now, names)
	switch {
	case err != nil:
		return renewCertificate, now
	case signer.NotAfter.Sub(now) < 2*validity.Certificate:
		return replaceAuthority, now
	}
	trusted := signer.NotBefore.Add(backdate + overlap)
	renewal := leaf.NotAfter.Add(-validity.RenewBefore)
	if leaf.CheckSignatureFrom(signer) != nil {
		renewal = trusted
	}
	if renewal.Before(trusted) {
		renewal = trusted
	}
	if renewal.After(now) {
		return keep, renewal
	}
	return renewCertificate, now
}

// signer returns the authority that signs, if it can.
func (m material) signer(now time.Time) (*x509.Certificate, error) {
	valid, err := rotator.ValidCert(m.authorities, m.authorities, m.caKey, caName, nil, now)
	if err != nil || !valid {
		return nil, fmt.Errorf("checking the authority: %w", err)
	}
	return parse(m.authorities)
}

// leaf returns the serving certificate if a client that trusts the authorities
// would accept it.
func (m material) leaf(now time.Time, names []string) (*x509.Certificate, error) {
	if _, err := tls.X509KeyPair(m.certificate, m.key); err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	leaf, err := parse(m.certificate)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.authorities)
	for _, name := range names {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now}); err != nil {
			return nil, fmt.Errorf("checking the certificate: %w", err)
		}
	}
	return leaf, nil
}

// do returns the material after an action.
func (m material) do(what action, now time.Time, validity Validity, names []string) (material, error) {
	if what == replaceEverybody || what == replaceAuthority {
		before := m.authorities
		made, err := maker().CreateCACert(now.Add(-backdate), now.Add(validity.Authority))
		if err != nil {
			return material{}, fmt.Errorf("making a certificate authority: %w", err)
		}
		m.authorities, m.caKey = made.CertPEM, made.KeyPEM
		if what == replaceAuthority {
			m.authorities = append(bytes.Clone(made.CertPEM), first(before)...)
			return m, nil
		}
	}
	signer, err := tls.X509KeyPair(m.authorities, m.caKey)
	if err != nil {
		return material{}, fmt.Errorf("reading the authority: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(validity.Certificate),
	}
	key, signs := signer.PrivateKey.(crypto.Signer)
	if !signs {
		return material{}, fmt.Errorf("reading the authority: its key, a %T, cannot sign", signer.PrivateKey)
	}
	m.certificate, m.key, err = serving(template, signer.Leaf, key)
	return m, err
}

// maker is cert-controller's maker of authorities. Its controller is not used: it
// has the API servers forget an authority before every replica has its new
// certificate, and lists all Secrets of its namespace.
func maker() *rotator.CertRotator {
	return &rotator.CertRotator{CAName: caName, CAOrganization: "extauth-guard"}
}

// first returns the first certificate of a bundle, as PEM.
func first(bundle []byte) []byte {
	block, _ := pem.Decode(bundle)
	if block == nil {
		return nil
	}
	return pem.EncodeToMemory(block)
}

// parse returns the first certificate of a bundle.
func parse(bundle []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(bundle)
	if block == nil {
		return nil, errors.New("there is no PEM certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	return certificate, nil
}
