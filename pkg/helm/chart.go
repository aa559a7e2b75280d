// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package helm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// Source says where one exact chart archive is.
type Source struct {
	// Repository is an http:// or https:// Helm repository, an oci://
	// reference without tag, or the path of an archive or a folder.
	Repository string
	// Name and Version that the chart must have.
	Name, Version string
	// Digest is sha256:<hex> of the archive; empty means not pinned. A folder
	// has no archive and cannot be pinned.
	Digest string
}

// Chart is a chart that was loaded and is the one that was asked for.
type Chart struct {
	// Name and Version from its Chart.yaml.
	Name, Version string
	// Digest is sha256:<hex> of the archive, or of the files of a folder.
	Digest string

	chart *chart.Chart
}

// ErrDigest says that an archive is not the pinned one.
var ErrDigest = errors.New("chart digest differs")

// Load fetches, verifies and reads a chart. Nothing of an archive is looked at
// before its digest was compared.
func Load(ctx context.Context, source Source, fetch Fetcher) (*Chart, error) {
	loaded, digest, err := load(ctx, source, fetch)
	if err != nil {
		return nil, fmt.Errorf("loading chart %s %s from %s: %w", source.Name, source.Version, source.Repository, err)
	}
	return check(loaded, digest, source)
}

func load(ctx context.Context, source Source, fetch Fetcher) (*chart.Chart, string, error) {
	var archive []byte
	var err error
	switch {
	case strings.HasPrefix(source.Repository, "oci://"):
		archive, err = fetch.oci(ctx, source)
	case strings.HasPrefix(source.Repository, "http://"), strings.HasPrefix(source.Repository, "https://"):
		archive, err = fetch.repository(ctx, source)
	default:
		info, statErr := os.Stat(source.Repository)
		if statErr != nil {
			return nil, "", statErr
		}
		if info.IsDir() {
			return loadFolder(source)
		}
		archive, err = os.ReadFile(filepath.Clean(source.Repository))
	}
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(archive)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if source.Digest != "" && source.Digest != digest {
		return nil, "", fmt.Errorf("%w: the archive is %s, pinned is %s; find out who changed it before you change the pin",
			ErrDigest, digest, source.Digest)
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(archive))
	return loaded, digest, err
}

func loadFolder(source Source) (*chart.Chart, string, error) {
	if source.Digest != "" {
		return nil, "", fmt.Errorf("%w: a folder has no archive digest; package it with `helm package`, or remove the digest", ErrDigest)
	}
	loaded, err := loader.LoadDir(source.Repository)
	if err != nil {
		return nil, "", err
	}
	files := slices.Clone(loaded.Raw)
	slices.SortFunc(files, func(a, b *chart.File) int { return strings.Compare(a.Name, b.Name) })
	hash := sha256.New()
	for _, file := range files {
		_, _ = fmt.Fprintf(hash, "%s %d\n", file.Name, len(file.Data))
		hash.Write(file.Data)
	}
	return loaded, "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

func check(loaded *chart.Chart, digest string, source Source) (*Chart, error) {
	if err := loaded.Validate(); err != nil {
		return nil, fmt.Errorf("checking the chart from %s: %w", source.Repository, err)
	}
	if loaded.Name() != source.Name || loaded.Metadata.Version != source.Version {
		return nil, fmt.Errorf("chart from %s is %s %s, wanted %s %s",
			source.Repository, loaded.Name(), loaded.Metadata.Version, source.Name, source.Version)
	}
	if loaded.Metadata.Type == "library" {
		return nil, fmt.Errorf("chart %s is a library and cannot be installed", source.Name)
	}
	return &Chart{Name: loaded.Name(), Version: loaded.Metadata.Version, Digest: digest, chart: loaded}, nil
}

// label is the digest as a label value: 63 characters at most, no colon.
func (c *Chart) label() string {
	return strings.TrimPrefix(c.Digest, "sha256:")[:40]
}
