// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/testcharts"
)

func TestLoadFindsTheSameArchiveEverywhere(t *testing.T) {
	archive := testcharts.Archive(t)
	for name, repository := range map[string]string{
		"a file":              testcharts.WriteArchive(t, archive),
		"a repository":        testcharts.Repository(t, archive),
		"a registry":          registryWith(t, archive),
		"a registry, in full": registryWith(t, archive) + "/" + testcharts.Name,
	} {
		t.Run(name, func(t *testing.T) {
			source := Source{Repository: repository, Name: testcharts.Name, Version: testcharts.Version, Digest: testcharts.Digest(archive)}
			got, err := Load(t.Context(), source, Fetcher{Scratch: t.TempDir()})
			require.NoError(t, err)
			assert.Equal(t, testcharts.Digest(archive), got.Digest)
			assert.Equal(t, testcharts.Version, got.Version)

			source.Digest = "sha256:" + strings.Repeat("0", 64)
			_, err = Load(t.Context(), source, Fetcher{Scratch: t.TempDir()})
			require.ErrorIs(t, err, ErrDigest)
			require.ErrorContains(t, err, "the archive is "+testcharts.Digest(archive)+", pinned is "+source.Digest)
		})
	}
}

func TestLoadReadsAFolder(t *testing.T) {
	source := Source{Repository: testcharts.Folder(t), Name: testcharts.Name, Version: testcharts.Version}
	first, err := Load(t.Context(), source, Fetcher{})
	require.NoError(t, err)
	second, err := Load(t.Context(), source, Fetcher{})
	require.NoError(t, err)
	assert.Equal(t, first.Digest, second.Digest)
}

func TestLoadRefuses(t *testing.T) {
	archive := testcharts.Archive(t)
	cases := map[string]struct {
		source Source
		want   string
	}{
		"a version that the repository lacks": {
			Source{Repository: testcharts.Repository(t, archive), Name: testcharts.Name, Version: "10.6.0"},
			"looking into index.yaml: no chart version found for oauth2-proxy-10.6.0",
		},
		"a chart of another version": {
			Source{Repository: testcharts.WriteArchive(t, archive), Name: testcharts.Name, Version: "10.6.0"},
			"is oauth2-proxy 10.7.0, wanted oauth2-proxy 10.6.0",
		},
		"a path that is not there": {
			Source{Repository: "/nowhere/chart.tgz", Name: "x", Version: "1.0.0"}, "no such file or directory",
		},
		"a repository that is not there": {
			Source{Repository: testcharts.Repository(t, archive) + "/x", Name: "x", Version: "1.0.0"}, "answered 404",
		},
		"something that is no archive": {
			Source{Repository: testcharts.WriteArchive(t, []byte("<html>")), Name: "x", Version: "1.0.0"}, "unexpected EOF",
		},
		"a folder with a digest": {
			Source{Repository: testcharts.Folder(t), Name: testcharts.Name, Version: testcharts.Version, Digest: "sha256:0"},
			"a folder has no archive digest",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Load(t.Context(), tc.source, Fetcher{Scratch: t.TempDir()})
			require.ErrorContains(t, err, tc.want)
		})
	}
}

// registryWith serves the archive as an OCI image, read-only, as much of the
// distribution specification as a pull needs.
func registryWith(t *testing.T, archive []byte) string {
	t.Helper()
	config := []byte(`{"name":"oauth2-proxy","version":"10.7.0","apiVersion":"v2"}`)
	manifest := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":%q,"size":%d}]}`,
		sum(config), len(config), sum(archive), len(archive)))
	blobs := map[string][]byte{sum(config): config, sum(archive): archive, sum(manifest): manifest}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		body, ok := blobs[last]
		if last == testcharts.Version {
			body, ok = manifest, true
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		contentType := "application/octet-stream"
		if strings.Contains(r.URL.Path, "/manifests/") {
			contentType = "application/vnd.oci.image.manifest.v1+json"
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Docker-Content-Digest", sum(body))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(server.Close)
	return "oci://" + strings.TrimPrefix(server.URL, "http://") + "/charts"
}

func sum(raw []byte) string {
	digest := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(digest[:])
}
