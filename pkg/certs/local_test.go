// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/certs"
)

func TestWriteLocal(t *testing.T) {
	now := time.Date(2026, 8, 21, 10, 0, 0, 0, time.UTC)
	directory := filepath.Join(t.TempDir(), "not", "there", "yet")
	require.NoError(t, certs.WriteLocal(directory, now))

	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(directory, name))
		require.NoError(t, err)
		return raw
	}
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(read(certs.CAFile)))
	pair, err := tls.X509KeyPair(read(certs.CertificateFile), read(certs.KeyFile))
	require.NoError(t, err, "key and certificate belong together")
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)

	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		for when, at := range map[string]time.Time{"now": now, "on a clock that is behind": now.Add(-30 * time.Minute), "after six days": now.AddDate(0, 0, 6)} {
			_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: authorities, CurrentTime: at})
			assert.NoError(t, err, "%s, %s", host, when)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: authorities, CurrentTime: now})
	assert.Error(t, err, "it is for the loopback only")
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: authorities, CurrentTime: now.AddDate(0, 0, 8)})
	assert.Error(t, err, "it does not last")
	assert.False(t, leaf.IsCA)

	for _, name := range []string{certs.CAFile, certs.CertificateFile, certs.KeyFile} {
		info, err := os.Stat(filepath.Join(directory, name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}

	before := read(certs.CertificateFile)
	require.NoError(t, certs.WriteLocal(directory, now))
	assert.NotEqual(t, before, read(certs.CertificateFile), "files of an earlier run are replaced")
}

func TestWriteLocalSaysWhatItCouldNotWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	assert.ErrorContains(t, certs.WriteLocal(filepath.Join(file, "below"), time.Now()), "making the certificate directory: ")

	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, certs.KeyFile), 0o700))
	assert.ErrorContains(t, certs.WriteLocal(directory, time.Now()), "writing tls.key: ")
}
