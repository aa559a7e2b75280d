// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Expiry is told when the certificate that is served ends.
type Expiry func(time.Time)

func (e Expiry) tell(served tls.Certificate) {
	if e == nil || len(served.Certificate) == 0 {
		return
	}
	if leaf, err := x509.ParseCertificate(served.Certificate[0]); err == nil {
		e(leaf.NotAfter)
	}
}
