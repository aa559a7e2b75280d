// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxMainLines keeps main to a context, one call and an exit code: everything
// else can be tested only if it is elsewhere.
const maxMainLines = 30

func TestMainIsShort(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	mains, err := filepath.Glob(filepath.Join(root, "cmd", "*", "*.go"))
	require.NoError(t, err)
	for _, file := range mains {
		name, err := filepath.Rel(root, file)
		require.NoError(t, err)
		assert.Equal(t, "main.go", filepath.Base(file), "%s: a command is one file, main.go; the rest belongs to its composition root", name)
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Less(t, bytes.Count(content, []byte("\n")), maxMainLines, "%s is too long: move code to its composition root", name)
	}
}
