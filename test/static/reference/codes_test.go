// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reference proves that the reference pages, the samples and the invalid
// examples say what the code does: nothing is missing, and nothing is left over.
package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// notRaised are the codes that nothing raises yet. As soon as a check does, an
// example has to show it.
func notRaised() []string {
	return nil
}

// codes returns the constants of type Code of pkg/policy, sorted, and those among
// them that the package uses anywhere but in their declaration.
func codes(t *testing.T) (declared, raised []string) {
	t.Helper()
	used := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(checkout.Path(t, "pkg/policy"), "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				if kind, ok := node.Type.(*ast.Ident); ok && kind.Name == "Code" && len(node.Values) == 1 {
					name, err := strconv.Unquote(node.Values[0].(*ast.BasicLit).Value)
					require.NoError(t, err)
					require.Equal(t, node.Names[0].Name, name, "a code is spelled like its constant")
					declared = append(declared, name)
					return false
				}
			case *ast.Ident:
				used[node.Name] = true
			}
			return true
		})
	}
	for _, code := range declared {
		if used[code] {
			raised = append(raised, code)
		}
	}
	slices.Sort(declared)
	slices.Sort(raised)
	return declared, raised
}

// sections returns the text below each heading of the second level of a page.
func sections(t *testing.T, page string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(checkout.Path(t, page))
	require.NoError(t, err)
	parts := strings.Split(string(raw), "\n## ")
	found := map[string]string{}
	for _, part := range parts[1:] {
		title, text, _ := strings.Cut(part, "\n")
		found[title] = text
	}
	return found
}

// headers returns the values of a comment in the first lines of the files of a
// folder, by file.
func headers(t *testing.T, folder, key string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(checkout.Path(t, folder), "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	found := map[string][]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		first, _, _ := strings.Cut(string(raw), "\n")
		value, ok := strings.CutPrefix(first, "# "+key+": ")
		found[folder+"/"+filepath.Base(file)] = nil
		if ok {
			found[folder+"/"+filepath.Base(file)] = strings.Split(value, ", ")
		}
	}
	return found
}

// allHeaders are the codes of all examples and samples: why the API server refuses
// one, what it warns about, and what only lint can see.
func allHeaders(t *testing.T) map[string][]string {
	t.Helper()
	all := headers(t, "hack/invalid-examples", "code")
	for _, key := range []string{"expect", "lint"} {
		for file, values := range headers(t, "config/samples", key) {
			all[file] = append(all[file], values...)
		}
	}
	return all
}

func TestEveryCodeHasASectionAndViceVersa(t *testing.T) {
	declared, _ := codes(t)
	require.NotEmpty(t, declared)
	pages := sections(t, "docs/reference/codes.md")
	var documented []string
	for code, text := range pages {
		documented = append(documented, code)
		for _, part := range []string{"**Cause.** ", "**Example.** ", "**Fix.** "} {
			assert.Contains(t, text, part, code)
		}
	}
	slices.Sort(documented)
	assert.Equal(t, declared, documented)
}

func TestEveryCodeThatIsRaisedHasAnExample(t *testing.T) {
	declared, raised := codes(t)
	shown := map[string]bool{}
	for file, values := range allHeaders(t) {
		if strings.HasPrefix(file, "hack/invalid-examples") {
			assert.Len(t, values, 1, "%s: its first line must be \"# code: …\"", file)
		}
		for _, code := range values {
			assert.Contains(t, declared, code, file)
			shown[code] = true
		}
	}
	for _, code := range declared {
		switch {
		case !slices.Contains(raised, code):
			assert.Contains(t, notRaised(), code, "nothing raises it")
			assert.False(t, shown[code], "%s is shown and nothing raises it", code)
		case !shown[code]:
			assert.Fail(t, code+" is raised: add an example to hack/invalid-examples or a sample to config/samples, and take it out of notRaised")
		default:
			assert.NotContains(t, notRaised(), code, "it is raised now")
		}
	}
}

// TestExamplesOnThePageAreReal compares what the page quotes with what kubectl
// printed, and its links with the files.
func TestExamplesOnThePageAreReal(t *testing.T) {
	link := regexp.MustCompile(`\[([\w-]+)\.yaml\]\(\.\./\.\./((?:config/samples|hack/invalid-examples)/[\w-]+\.yaml)\)`)
	quote := regexp.MustCompile("(?s)```text\n(.*?)```")
	of := allHeaders(t)
	for code, text := range sections(t, "docs/reference/codes.md") {
		if slices.Contains(notRaised(), code) {
			continue
		}
		links := link.FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, links, code)
		for _, one := range links {
			assert.Contains(t, of[one[2]], code, one[2])
		}
		printed, err := os.ReadFile(checkout.Path(t, "test/integration/webhook/testdata/kubectl/"+links[0][1]+".txt"))
		require.NoError(t, err)
		quotes := quote.FindAllStringSubmatch(text, -1)
		require.Len(t, quotes, 1, code)
		assert.Contains(t, string(printed), quotes[0][1], "%s: quote what kubectl prints", code)
	}
}
