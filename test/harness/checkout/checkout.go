// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checkout finds files of this repository, and of the folder beside it,
// from wherever a test or a demo program runs.
//
// It answers with paths only: what they mean is for the caller to know.
package checkout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SharedEnv names the environment variable that overrides where [Shared] looks.
const SharedEnv = "EXTAUTH_SHARED"

// Root returns the root of the module: the nearest folder with a go.mod, going
// up from the working directory, which for a test is its package's folder.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the module root: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("finding the module root: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("finding the module root: no go.mod in %s or above; run inside a checkout of extauth-guard", start)
		}
	}
}

// T is the part of testing.TB that this package needs. Naming it here keeps the
// testing package, and the flags it registers, out of programs that are no tests.
type T interface {
	Helper()
	Fatal(args ...any)
	Skipf(format string, args ...any)
}

// Path returns the absolute path of a file or folder of the repository, given
// relative to the module root with forward slashes.
func Path(t T, name string) string {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

// Shared returns the absolute path of a file or folder in the folder "shared"
// beside the checkout, or in the folder that [SharedEnv] names. That folder holds
// material of others which this repository does not carry, such as the CRDs that
// Kyma ships; where it is absent the calling test is skipped, and says so.
func Shared(t T, name string) string {
	t.Helper()
	dir := os.Getenv(SharedEnv)
	if dir == "" {
		root, err := Root()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(filepath.Dir(root), "shared")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs %s, which is not part of this repository: %v (set %s to the folder that has it)", name, err, SharedEnv)
	}
	return path
}
