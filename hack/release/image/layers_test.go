// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestALayerDependsOnItsContentOnly(t *testing.T) {
	digest := func() string {
		folder := t.TempDir() // another name and another time
		require.NoError(t, os.WriteFile(filepath.Join(folder, "b"), []byte("two"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "a"), []byte("one"), 0o644))
		content, err := programs(folder)
		require.NoError(t, err)
		one, err := layer(append(base(), content...))
		require.NoError(t, err)
		hash, err := one.Digest()
		require.NoError(t, err)
		return hash.String()
	}
	first := digest()
	assert.Equal(t, first, digest())
}

func TestALayer(t *testing.T) {
	from := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(from, "templates"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, "templates", "x.yaml"), []byte("x"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(from, "program"), []byte("x"), 0o700))
	added, err := folder(from + "=/charts/proxy")
	require.NoError(t, err)
	single, err := folder(filepath.Join(from, "program") + "=/bin/other")
	require.NoError(t, err)
	packed, err := layer(slices.Concat(base(), added, single))
	require.NoError(t, err)
	content, err := packed.Uncompressed()
	require.NoError(t, err)
	modes := map[string]int64{}
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		assert.Zero(t, header.ModTime.Unix(), header.Name)
		assert.Zero(t, header.Uid, header.Name)
		modes[header.Name] = header.Mode
	}
	assert.Equal(t, map[string]int64{
		"etc/": 0o755, "etc/passwd": 0o644, "etc/group": 0o644, "tmp/": 0o1777,
		"charts/": 0o755, "charts/proxy/": 0o755, "charts/proxy/templates/": 0o755, "charts/proxy/templates/x.yaml": 0o644,
		"charts/proxy/program": 0o755, "bin/": 0o755, "bin/other": 0o755,
	}, modes)
}

func TestAFolderThatGoesNowhereIsRefused(t *testing.T) {
	for _, argument := range []string{"folder", "folder=", "folder=/"} {
		_, err := folder(argument)
		require.ErrorContains(t, err, "say PATH=/path/in/image", argument)
	}
}
