// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is a file, or a folder where content is nil.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// layer packs entries, all of root's and without a time.
func layer(entries []entry) (v1.Layer, error) {
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	for _, each := range entries {
		header := &tar.Header{Name: each.name, Mode: each.mode, Size: int64(len(each.content)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if each.content == nil {
			header.Typeflag, header.Name = tar.TypeDir, each.name+"/"
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %s: %w", each.name, err)
		}
		if _, err := w.Write(each.content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", each.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing a layer: %w", err)
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

// base is what every image has: names for the user, and a place for mounts.
func base() []entry {
	return []entry{
		{name: "etc", mode: 0o755},
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "tmp", mode: 0o1777},
	}
}

// programs are the files of a folder, at the root of the image.
func programs(folder string) ([]entry, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, file := range files { // sorted by name
		content, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, entry{name: file.Name(), mode: 0o755, content: content})
	}
	return all, nil
}

// folder packs "PATH=/path/in/image", a folder with what is in it or one file. What
// may be executed here may be executed there.
func folder(argument string) ([]entry, error) {
	from, to, ok := strings.Cut(argument, "=")
	to = strings.TrimPrefix(path.Clean(to), "/")
	if !ok || to == "" || to == "." {
		return nil, fmt.Errorf("-add %s: say PATH=/path/in/image", argument)
	}
	var all []entry
	parent := ""
	for part := range strings.SplitSeq(path.Dir(to), "/") {
		if part == "." {
			break
		}
		parent = path.Join(parent, part)
		all = append(all, entry{name: parent, mode: 0o755})
	}
	err := filepath.WalkDir(from, func(file string, found fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		one := entry{name: path.Join(to, filepath.ToSlash(relative)), mode: 0o755}
		if !found.IsDir() {
			if one.mode, err = mode(found); err != nil {
				return err
			}
			if one.content, err = os.ReadFile(file); err != nil {
				return err
			}
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", from, err)
	}
	return all, nil
}

func mode(file fs.DirEntry) (int64, error) {
	info, err := file.Info()
	if err != nil || info.Mode()&0o111 == 0 {
		return 0o644, err
	}
	return 0o755, nil
}
