// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificate measures the serving certificate. A nil *Certificate measures
// nothing.
type Certificate struct {
	expiry prometheus.Gauge
}

// NewCertificate returns the metric of the certificate, registered at registerer.
// What is registered there already is shared.
func NewCertificate(registerer prometheus.Registerer) (*Certificate, error) {
	c := &Certificate{expiry: prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "certificate_expiry_timestamp_seconds",
		Help: "When the certificate that is served ends, in seconds since 1970.",
	})}
	return c, share(registerer, &c.expiry)
}

// Expires says when the certificate that is served ends.
func (c *Certificate) Expires(at time.Time) {
	if c != nil {
		c.expiry.Set(float64(at.Unix()))
	}
}
