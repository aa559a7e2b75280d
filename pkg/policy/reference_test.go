// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// A code without reference has no help text in any output.
func TestEveryCodeHasAReference(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "finding.go", nil, 0)
	require.NoError(t, err)
	var want []string
	ast.Inspect(file, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
				want = append(want, spec.Names[0].Name)
			}
		}
		return true
	})
	var got []string
	for _, reference := range policy.References() {
		got = append(got, string(reference.Code))
		assert.NotEmpty(t, reference.Cause, reference.Code)
		assert.NotEmpty(t, reference.Fix, reference.Code)
		assert.NotEmpty(t, reference.Severity, reference.Code)
	}
	assert.ElementsMatch(t, want, got)
}
