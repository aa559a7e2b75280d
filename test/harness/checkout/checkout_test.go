// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package checkout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// fakeT records what a test would have been told.
type fakeT struct{ skipped, failed string }

func (f *fakeT) Helper()                          {}
func (f *fakeT) Fatal(args ...any)                { f.failed = fmt.Sprint(args...) }
func (f *fakeT) Skipf(format string, args ...any) { f.skipped = fmt.Sprintf(format, args...) }

func TestRootIsTheNearestFolderWithAGoMod(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(below, 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o600))
	t.Chdir(below)

	root, err := checkout.Root()

	require.NoError(t, err)
	assert.Equal(t, dir, root)
}

func TestRootSaysWhereItLooked(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)

	_, err := checkout.Root()

	require.ErrorContains(t, err, "no go.mod in "+dir)
}

func TestSharedIsBesideTheCheckoutUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	beside := t.TempDir()
	root := filepath.Join(beside, "checkout")
	elsewhere := t.TempDir()
	for _, dir := range []string{root, filepath.Join(beside, "shared", "crds"), filepath.Join(elsewhere, "crds")} {
		require.NoError(t, os.MkdirAll(dir, 0o750))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m\n"), 0o600))
	t.Chdir(root)

	t.Setenv(checkout.SharedEnv, "")
	assert.Equal(t, filepath.Join(beside, "shared", "crds"), checkout.Shared(&fakeT{}, "crds"))

	t.Setenv(checkout.SharedEnv, elsewhere)
	assert.Equal(t, filepath.Join(elsewhere, "crds"), checkout.Shared(&fakeT{}, "crds"))
}

func TestSharedSkipsAndSaysWhatIsMissing(t *testing.T) {
	t.Setenv(checkout.SharedEnv, t.TempDir())
	told := &fakeT{}

	checkout.Shared(told, "kyma-crds")

	assert.Empty(t, told.failed)
	assert.Contains(t, told.skipped, "needs kyma-crds, which is not part of this repository")
	assert.Contains(t, told.skipped, checkout.SharedEnv)
}

func TestPathIsBelowTheModuleRoot(t *testing.T) {
	assert.FileExists(t, checkout.Path(t, "test/harness/checkout/checkout.go"))
}
