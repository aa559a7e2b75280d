// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bufio"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// unpack writes the files of an archive into a folder and returns it.
func unpack(t *testing.T, archive io.Reader) string {
	t.Helper()
	folder := t.TempDir()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return folder
		}
		require.NoError(t, err)
		path := filepath.Join(folder, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o700))
			continue
		}
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
}

// One archive is for both architectures, and holds programs, names for the user,
// and nothing else. The smallest program of the repository stands for all of them.
func TestTheArchive(t *testing.T) {
	t.Chdir(checkout.Path(t, "."))
	out := filepath.Join(t.TempDir(), "image.tar")
	o := defaults()
	o.out, o.name, o.version, o.revision, o.commands = out, "localhost/extauth-guard:test", "1.2.3", "abc", []string{"./hack/cluster/node/pause"}
	digest, err := build(t.Context(), o)
	require.NoError(t, err)
	file, err := os.Open(out)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	top, err := layout.ImageIndexFromPath(unpack(t, bufio.NewReader(file)))
	require.NoError(t, err)
	outer, err := top.IndexManifest()
	require.NoError(t, err)
	require.Len(t, outer.Manifests, 1)
	assert.Equal(t, digest, outer.Manifests[0].Digest.String(), "what is printed is what is pushed")
	assert.Equal(t, "localhost/extauth-guard:test", outer.Manifests[0].Annotations["io.containerd.image.name"])
	index, err := top.ImageIndex(outer.Manifests[0].Digest)
	require.NoError(t, err)
	inner, err := index.IndexManifest()
	require.NoError(t, err)
	assert.Equal(t, types.OCIImageIndex, inner.MediaType)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	require.Len(t, inner.Manifests, len(machines))
	for _, descriptor := range inner.Manifests {
		assert.Equal(t, "linux", descriptor.Platform.OS)
		machine, ok := machines[descriptor.Platform.Architecture]
		require.True(t, ok, descriptor.Platform.Architecture)
		delete(machines, descriptor.Platform.Architecture)
		image, err := index.Image(descriptor.Digest)
		require.NoError(t, err)
		checkImage(t, image, descriptor.Platform.Architecture, machine)
	}
}

func checkImage(t *testing.T, image v1.Image, architecture string, machine elf.Machine) {
	t.Helper()
	config, err := image.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, architecture, config.Architecture)
	assert.Equal(t, "65532:65532", config.Config.User)
	assert.Equal(t, []string{"/webhook"}, config.Config.Entrypoint)
	assert.Empty(t, config.Config.Cmd)
	assert.Equal(t, "1.2.3", config.Config.Labels["org.opencontainers.image.version"])
	assert.Equal(t, "abc", config.Config.Labels["org.opencontainers.image.revision"])
	layers, err := image.Layers()
	require.NoError(t, err)
	var names []string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		require.NoError(t, err)
		folder := unpack(t, content)
		require.NoError(t, content.Close())
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				names = append(names, strings.TrimPrefix(path, folder))
			}
			return err
		}))
		if program, err := elf.Open(filepath.Join(folder, "pause")); err == nil {
			assert.Equal(t, machine, program.Machine)
			libraries, err := program.ImportedLibraries()
			require.NoError(t, err)
			assert.Empty(t, libraries, "there is no loader in the image")
			assert.Nil(t, program.Section(".interp"), "there is no loader in the image")
		}
	}
	slices.Sort(names)
	assert.Equal(t, []string{"/etc/group", "/etc/passwd", "/pause"}, names, "no shell, no package manager, nothing to repair")
}

// The two ways to the image agree on what it says about itself.
func TestTheDockerfileMakesTheSame(t *testing.T) {
	raw, err := os.ReadFile(checkout.Path(t, "Dockerfile"))
	require.NoError(t, err)
	dockerfile := string(raw)
	o := defaults()
	for name, value := range labels(o) {
		switch name {
		case "org.opencontainers.image.version":
			value = "$VERSION"
		case "org.opencontainers.image.revision":
			value = "$REVISION"
		}
		assert.Regexp(t, regexp.QuoteMeta(name)+`="?`+regexp.QuoteMeta(value)+`"?( |\n)`, dockerfile)
	}
	assert.Len(t, regexp.MustCompile(`org\.opencontainers\.[\w.]+=`).FindAllString(dockerfile, -1), len(labels(o)))
	assert.Contains(t, dockerfile, "\nUSER "+o.user+"\n")
	assert.Contains(t, dockerfile, `ENTRYPOINT ["`+o.entrypoint+`"]`)
	assert.Contains(t, dockerfile, "-X "+versionVariable+"=$VERSION")
	for _, entry := range base() {
		for line := range strings.Lines(string(entry.content)) {
			assert.Contains(t, dockerfile, strings.TrimSpace(line), entry.name)
		}
	}
	from := regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(dockerfile, -1)
	require.Len(t, from, 2)
	assert.Regexp(t, `^docker\.io/library/golang:1\.\d+\.\d+@sha256:[0-9a-f]{64}$`, from[0][1], "pin the builder")
	assert.Equal(t, "scratch", from[1][1])
}
