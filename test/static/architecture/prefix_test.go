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
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prefix is what every annotation of ours starts with.
const prefix = "extauth-guard.io/"

// spelled finds the prefix of annotations. An API version ("extauth-guard.io/v1alpha1")
// and names that merely end in ours ("config.extauth-guard.io/…") are not annotations.
func spelled(literal string) bool {
	at := regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(prefix))
	version := regexp.MustCompile(`^v\d`)
	for _, match := range at.FindAllStringIndex(literal, -1) {
		if !version.MatchString(literal[match[1]:]) {
			return true
		}
	}
	return false
}

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
			for _, literal := range literals(file, spelled) {
				assert.Fail(t, path+" spells "+literal+": use the constant of pkg/annotation, and add one there if it is missing")
			}
			return nil
		})
		require.NoError(t, err)
	}
}

// literals lists the string literals of file for which wanted is true.
func literals(file *ast.File, wanted func(string) bool) []string {
	var found []string
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING && wanted(literal.Value) {
			found = append(found, literal.Value)
		}
		return true
	})
	return found
}

func TestSpelled(t *testing.T) {
	cases := map[string]struct {
		source string
		want   []string
	}{
		"a key":                         {`var x = "` + prefix + `inject"`, []string{`"` + prefix + `inject"`}},
		"a key in the middle of a text": {"var x = `annotations: {" + prefix + "inject: true}`", []string{"`annotations: {" + prefix + "inject: true}`"}},
		"the bare prefix":               {`var x = "` + prefix + `" + name`, []string{`"` + prefix + `"`}},
		"a key that starts with v":      {`var x = "` + prefix + `verify"`, []string{`"` + prefix + `verify"`}},
		"an API version":                {`var x = "` + prefix + `v1alpha1"`, nil},
		"a longer group":                {`var x = "config.` + prefix + `v1"`, nil},
		"a comment is documentation":    {"// " + prefix + "inject asks for it.\nvar x = 1", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			file, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\n"+tc.source, parser.ParseComments)
			require.NoError(t, err)
			assert.Equal(t, tc.want, literals(file, spelled))
		})
	}
}
