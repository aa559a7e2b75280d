// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

// An authority that is about to end is replaced, and then the certificate, while
// requests go on. It takes a minute, because both authorities are trusted for that
// long before the new one is used.
func TestAReplacedAuthorityInterruptsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	c := newCluster(t)
	rendering, err := chart.Render(chart.Options{})
	require.NoError(t, err)
	local := localSettings(t)
	c.install(t, rendering, local.Server.Port)
	old := oldCertificates(t, c)
	c.run(t, local)

	secrets := c.typed.CoreV1().Secrets(chart.Namespace)
	c.load(t, func(t *testing.T) {
		require.Eventually(t, func() bool {
			now, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
			return err == nil && string(now.Data["tls.crt"]) != string(old)
		}, 3*time.Minute, 200*time.Millisecond)
	})

	now, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
	require.NoError(t, err)
	signer, served := parse(t, now.Data["ca.crt"]), parse(t, now.Data["tls.crt"])
	require.NoError(t, served.CheckSignatureFrom(signer), "the new authority signs")
	assert.Greater(t, time.Until(signer.NotAfter), 9*365*24*time.Hour)
}

// load sends requests while disturb runs, and some after it, and insists that none
// fails.
func (c *cluster) load(t *testing.T, disturb func(t *testing.T)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var answered, failed atomic.Int64
	var example atomic.Value
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				for _, err := range []error{
					c.injected(ctx, "load"),
					c.create(ctx, apirule("load", nil, "oauth2-proxy"), metav1.DryRunAll),
				} {
					if err != nil && ctx.Err() == nil {
						failed.Add(1)
						example.Store(err.Error())
					}
					answered.Add(1)
				}
			}
		})
	}
	disturb(t)
	before := answered.Load()
	require.Eventually(t, func() bool { return answered.Load() > before+200 }, patience, glance, "some requests after it")
	stop()
	load.Wait()
	assert.Zero(t, failed.Load(), "of %d requests failed, for example: %v", answered.Load(), example.Load())
	t.Logf("%d requests, %d failed", answered.Load(), failed.Load())
}

// oldCertificates fills the Secret with an authority that has a hundred days left,
// and returns the certificate.
func oldCertificates(t *testing.T, c *cluster) []byte {
	t.Helper()
	host := "extauth-guard." + chart.Namespace + ".svc"
	maker := &rotator.CertRotator{
		CAName: "extauth-guard-ca", CAOrganization: "extauth-guard", DNSName: host,
		ExtraDNSNames: []string{host + ".cluster.local"}, ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	begin := time.Now().Add(-time.Hour)
	authority, err := maker.CreateCACert(begin, begin.Add(100*24*time.Hour))
	require.NoError(t, err)
	certificate, key, err := maker.CreateCertPEM(authority, begin, begin.Add(90*24*time.Hour))
	require.NoError(t, err)
	secrets := c.typed.CoreV1().Secrets(chart.Namespace)
	secret, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
	require.NoError(t, err)
	secret.Data = map[string][]byte{"ca.crt": authority.CertPEM, "ca.key": authority.KeyPEM, "tls.crt": certificate, "tls.key": key}
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	require.NoError(t, err)
	return certificate
}

func parse(t *testing.T, bundle []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(bundle)
	require.NotNil(t, block)
	certificate, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return certificate
}
