// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package architecture

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prefix is what every annotation of ours starts with.
const prefix = "extauth-guard.io/"

// A key is spelled once, so that a typo cannot make code read an annotation that
// nobody writes. Tests, test/ and hack/ are exempt on purpose: they write
// manifests as a user does, and must notice if a constant changes.
func TestAnnotationPrefixIsSpelledOnce(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	for _, dir := range []string{"cmd", "pkg"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // the first command is not written yet
				return nil
			case err != nil:
				return err
			case filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"),
				filepath.Dir(path) == filepath.Join(root, "pkg", "annotation"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err != nil || ast.IsGenerated(file) {
				return err
			}
			for _, literal := range literalsWith(file, prefix) {
				assert.Fail(t, path+" spells "+literal+": use the constant of pkg/annotation, and add one there if it is missing")
			}
			return nil
		})
		require.NoError(t, err)
	}
}

// literalsWith lists the string literals of file that contain text.
func literalsWith(file *ast.File, text string) []string {
	var found []string
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && strings.Contains(literal.Value, text) {
			found = append(found, literal.Value)
		}
		return true
	})
	return found
}

func TestLiteralsWith(t *testing.T) {
	const source = "package p\n// " + prefix + "inject in a comment is documentation\nvar a, b, c = `" + prefix + "x`, \"" + prefix + "y\", \"other\"\n"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments)
	require.NoError(t, err)
	assert.Equal(t, []string{"`" + prefix + "x`", `"` + prefix + `y"`}, literalsWith(file, prefix))
}
