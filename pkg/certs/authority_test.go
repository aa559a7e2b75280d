// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	names    = []string{"extauth-guard.extauth-guard.svc", "extauth-guard.extauth-guard.svc.cluster.local"}
	validity = Validity{Certificate: 90 * 24 * time.Hour, RenewBefore: 30 * 24 * time.Hour, Authority: 365 * 24 * time.Hour}
	begin    = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
)

// made returns a material that was made at begin.
func made(t *testing.T) material {
	t.Helper()
	m, err := material{}.do(replaceEverybody, begin, validity, names)
	require.NoError(t, err)
	return m
}

func TestNext(t *testing.T) {
	good := made(t)
	other := made(t)
	replaced, err := good.do(replaceAuthority, begin.Add(time.Hour), validity, names)
	require.NoError(t, err)
	renewed, err := good.do(renewCertificate, begin.Add(170*24*time.Hour), validity, names)
	require.NoError(t, err)
	cases := map[string]struct {
		held  material
		after time.Duration
		names []string
		want  action
	}{
		"an empty Secret is filled":                                {held: material{}, want: replaceEverybody},
		"a good one is kept":                                       {held: good, want: keep},
		"a certificate that someone removed is made again":         {held: material{authorities: good.authorities, caKey: good.caKey}, want: renewCertificate},
		"a key of another certificate is no key":                   {held: material{authorities: good.authorities, caKey: good.caKey, certificate: good.certificate, key: other.key}, want: renewCertificate},
		"a certificate of another authority is replaced":           {held: material{authorities: good.authorities, caKey: good.caKey, certificate: other.certificate, key: other.key}, want: renewCertificate},
		"an authority without its key is replaced":                 {held: material{authorities: good.authorities, certificate: good.certificate, key: good.key}, want: replaceEverybody},
		"text that is no certificate is replaced":                  {held: material{authorities: []byte("x"), caKey: []byte("y"), certificate: []byte("z")}, want: replaceEverybody},
		"a certificate for another name is replaced":               {held: good, names: []string{"elsewhere.svc"}, want: renewCertificate},
		"a certificate is kept until its time has come":            {held: good, after: 59 * 24 * time.Hour, want: keep},
		"and then renewed":                                         {held: good, after: 61 * 24 * time.Hour, want: renewCertificate},
		"a certificate that ended is renewed before anything else": {held: good, after: 200 * 24 * time.Hour, want: renewCertificate},
		"an authority near its end is replaced":                    {held: renewed, after: 190 * 24 * time.Hour, want: replaceAuthority},
		"a new authority does not sign at once":                    {held: replaced, after: time.Hour + overlap - time.Second, want: keep},
		"but after it has been trusted for a while":                {held: replaced, after: time.Hour + overlap, want: renewCertificate},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.names == nil {
				tc.names = names
			}
			got, again := tc.held.next(begin.Add(tc.after), validity, tc.names)
			assert.Equal(t, tc.want, got)
			assert.False(t, again.Before(begin.Add(tc.after)), "it asks to be looked at again in the past")
			if got == keep {
				assert.True(t, again.After(begin.Add(tc.after)), "it would be looked at again and again")
			}
		})
	}
}

// Signing with it is what a handshake costs the webhook.
func TestTheServingKeyIsECDSA(t *testing.T) {
	leaf, err := made(t).leaf(begin, names)
	require.NoError(t, err)
	key, is := leaf.PublicKey.(*ecdsa.PublicKey)
	require.True(t, is, "it is %T", leaf.PublicKey)
	assert.Equal(t, elliptic.P256(), key.Curve)
	assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, leaf.ExtKeyUsage)
	assert.False(t, leaf.IsCA)
	assert.Equal(t, names, leaf.DNSNames)
}

// Three years in the life of a Secret, half a day at a time. An API server may be one
// whole step behind; it must accept what is served all the same.
func TestNothingIsServedThatAnAPIServerDoesNotTrust(t *testing.T) {
	held := made(t)
	behind := held.authorities // what a late API server trusts
	actions := map[action]int{}
	for now := begin; now.Before(begin.Add(3 * 365 * 24 * time.Hour)); now = now.Add(12 * time.Hour) {
		late := material{authorities: behind, certificate: held.certificate, key: held.key}
		_, err := late.leaf(now, names)
		require.NoError(t, err, "at %s", now)
		behind = held.authorities
		what, _ := held.next(now, validity, names)
		actions[what]++
		if what == keep {
			continue
		}
		require.NotEqual(t, replaceEverybody, what, "at %s: this interrupts", now)
		held, err = held.do(what, now, validity, names)
		require.NoError(t, err)
		require.LessOrEqual(t, bytes.Count(held.authorities, []byte("BEGIN CERTIFICATE")), 2, "the bundle grows")
	}
	// A certificate lasts sixty days of its ninety, and 365-180 days an authority.
	assert.Greater(t, actions[renewCertificate], 15)
	assert.Greater(t, actions[replaceAuthority], 4)
}
