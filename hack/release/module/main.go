// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Command module writes what makes a release a community module of Kyma: the manifest,
// the default object and the ModuleTemplate.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/extauth-guard/extauth-guard/test/harness/kymamodule"
)

func main() {
	version := flag.String("version", "0.0.0", "version of the module and of the image")
	digest := flag.String("digest", "", "sha256:<hex> of the image")
	out := flag.String("out", "dist", "folder for the files")
	flag.Parse()
	if err := write(kymamodule.Release{Version: *version, Digest: *digest}, *out); err != nil {
		fmt.Fprintln(os.Stderr, "module:", err)
		os.Exit(1)
	}
}

func write(release kymamodule.Release, out string) error {
	files, err := kymamodule.Files(release)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
