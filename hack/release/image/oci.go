// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const versionVariable = "github.com/extauth-guard/extauth-guard/pkg/version.version"

// index builds one image for each architecture.
func index(ctx context.Context, o options, scratch string) (v1.ImageIndex, error) {
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range o.architectures {
		one, err := image(ctx, o, architecture, filepath.Join(scratch, architecture))
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", architecture, err)
		}
		all = mutate.AppendManifests(all, mutate.IndexAddendum{
			Add:        one,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return all, nil
}

func image(ctx context.Context, o options, architecture, scratch string) (v1.Image, error) {
	if err := compile(ctx, o, architecture, scratch); err != nil {
		return nil, err
	}
	binaries, err := programs(scratch)
	if err != nil {
		return nil, err
	}
	contents := [][]entry{base(), binaries}
	for _, argument := range o.add {
		more, err := folder(argument)
		if err != nil {
			return nil, err
		}
		contents = append(contents, more)
	}
	result := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, content := range contents {
		one, err := layer(content)
		if err != nil {
			return nil, err
		}
		if result, err = mutate.Append(result, mutate.Addendum{Layer: one, MediaType: types.OCILayer, History: v1.History{CreatedBy: "hack/release/image"}}); err != nil {
			return nil, err
		}
	}
	config, err := result.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture, v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{Entrypoint: []string{o.entrypoint}, User: o.user, WorkingDir: "/", Labels: labels(o)}
	return mutate.ConfigFile(result, config)
}

// labels are those of the Dockerfile.
func labels(o options) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "extauth-guard",
		"org.opencontainers.image.description": "External authorization for Kyma APIRules",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.source":      "https://github.com/extauth-guard/extauth-guard",
		"org.opencontainers.image.version":     o.version,
		"org.opencontainers.image.revision":    o.revision,
	}
}

// compile builds the programs into a folder, static and without paths of this
// machine.
func compile(ctx context.Context, o options, architecture, folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	if len(o.commands) == 0 {
		return nil
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X " + versionVariable + "=" + o.version, "-o", folder + "/"}
	build := exec.CommandContext(ctx, "go", append(args, o.commands...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	build.Stderr = os.Stderr
	return build.Run()
}

// archive writes an OCI layout as one file. Container engines and containerd read
// the name from the annotations.
func archive(index v1.ImageIndex, name, out, scratch string) (err error) {
	folder := filepath.Join(scratch, "layout")
	layoutFolder, err := layout.Write(folder, empty.Index)
	if err != nil {
		return fmt.Errorf("writing the layout: %w", err)
	}
	_, tag, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	err = layoutFolder.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": tag,
	}))
	if err != nil {
		return fmt.Errorf("writing the layout: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := tar.NewWriter(file)
	err = filepath.WalkDir(folder, func(path string, found fs.DirEntry, err error) error { // in the order of names
		if err != nil || path == folder {
			return err
		}
		return pack(w, folder, path, found)
	})
	return errors.Join(err, w.Close())
}

func pack(w *tar.Writer, root, path string, found fs.DirEntry) error {
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	if found.IsDir() {
		return w.WriteHeader(&tar.Header{Name: filepath.ToSlash(relative) + "/", Mode: 0o755, Typeflag: tar.TypeDir, Format: tar.FormatUSTAR})
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: filepath.ToSlash(relative), Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return err
}
