// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testcharts hands charts to tests: from disk, as an archive, and over
// HTTP as a Helm repository. It knows nothing of Helm's Go packages, so that
// pkg/helm stays their only importer.
package testcharts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// RealChartEnv names an archive of the real oauth2-proxy chart. Where it is set,
// tests use it instead of the stand-in.
const RealChartEnv = "EXTAUTH_OAUTH2_PROXY_CHART"

// Name and Version are those of the stand-in and of the real chart alike.
const (
	Name    = "oauth2-proxy"
	Version = "10.7.0"
)

// Folder returns the folder of the stand-in chart.
func Folder(t testing.TB) string {
	t.Helper()
	return checkout.Path(t, "test/testdata/charts/oauth2-proxy-standin")
}

// Archive returns the real chart's archive where RealChartEnv names one, else
// that of the stand-in, which is the same bytes every time.
func Archive(t testing.TB) []byte {
	t.Helper()
	if path := os.Getenv(RealChartEnv); path != "" {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		t.Logf("using the chart archive %s", path)
		return raw
	}
	return Package(t, Folder(t))
}

// Package makes an archive of a chart folder, without times or owners.
func Package(t testing.TB, folder string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	files := os.DirFS(folder)
	require.NoError(t, fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: Name + "/" + path, Mode: 0o644, Size: int64(len(raw)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(raw)
		return err
	}))
	require.NoError(t, archive.Close())
	require.NoError(t, zip.Close())
	return out.Bytes()
}

// Digest returns the digest of an archive in the form of the configuration.
func Digest(archive []byte) string {
	sum := sha256.Sum256(archive)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// WriteArchive writes the archive into a folder of the test and returns its path.
func WriteArchive(t testing.TB, archive []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), Name+"-"+Version+".tgz")
	require.NoError(t, os.WriteFile(path, archive, 0o600))
	return path
}

// Repository serves the archive as a Helm repository on a loopback address and
// returns its URL.
func Repository(t testing.TB, archive []byte) string {
	t.Helper()
	index := fmt.Sprintf(`apiVersion: v1
entries:
  %[1]s:
  - apiVersion: v2
    name: %[1]s
    version: %[2]s
    urls: [archives/%[1]s-%[2]s.tgz]
`, Name, Version)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /charts/index.yaml", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(index)) })
	mux.HandleFunc("GET /charts/archives/"+Name+"-"+Version+".tgz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL + "/charts"
}
