// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/oauth2proxy"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
)

// TestACABundleDoesNotReplaceWhatTheSystemTrusts has an issuer whose authority the
// system trusts, and a bundle with another one.
func TestACABundleDoesNotReplaceWhatTheSystemTrusts(t *testing.T) {
	provider := oidcprovider.Start(t, oidcprovider.Options{TLS: true})
	other := oidcprovider.Start(t, oidcprovider.Options{TLS: true})
	folder := t.TempDir()
	system, bundle := filepath.Join(folder, "system.crt"), filepath.Join(folder, "bundle.crt")
	require.NoError(t, os.WriteFile(system, provider.CA(), 0o600))
	require.NoError(t, os.WriteFile(bundle, other.CA(), 0o600))
	options := oauth2proxy.Options{
		Args: append(arguments(provider.Issuer()), "--provider-ca-file="+bundle),
		Env:  append(environment(), "SSL_CERT_FILE="+system),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := oauth2proxy.New(ctx, options)
	require.ErrorContains(t, err, "certificate signed by unknown authority", "the flag alone replaces them")

	options.Args = append(options.Args, "--use-system-trust-store=true")
	oauth2proxy.Start(t, options)
}
