// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// manifests returns the files and folders of test/testdata/manifests, which have
// the shapes that repositories have, and makes their folder the working directory.
func manifests(t *testing.T) []string {
	t.Helper()
	t.Chdir(checkout.Path(t, "test/testdata/manifests"))
	var all []string
	for _, pattern := range []string{"apirules/*", "ingresses/*"} {
		some, err := filepath.Glob(pattern)
		require.NoError(t, err)
		all = append(all, some...)
	}
	return all
}

// What lint, inject, report and migrate say about manifests as they are in the wild
// is in the files below golden.
func TestManifests(t *testing.T) {
	cases := manifests(t)
	for _, one := range cases {
		t.Run(one, func(t *testing.T) {
			var text strings.Builder
			for _, command := range []string{"lint", "inject --diff", "report", "migrate"} {
				code, out, err := run(t, "", append(strings.Fields(command), one)...)
				fmt.Fprintf(&text, "$ kubectl extauth %s %s\n%s=== standard error\n%s=== exit code %d\n\n", command, one, out, err, code)
			}
			golden := filepath.Join("golden", one+".txt")
			if flag.Lookup("update").Value.String() == "true" {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
				require.NoError(t, os.WriteFile(golden, []byte(text.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Empty(t, cmp.Diff(string(want), text.String()), "(-golden +got); -update writes it")
		})
	}
	goldens, err := filepath.Glob("golden/*/*.txt")
	require.NoError(t, err)
	assert.Len(t, goldens, len(cases), "every golden file has its manifests")
}

// There are as many as the tests of lint, inject, report and migrate want.
func TestManifestsAreMany(t *testing.T) {
	manifests(t)
	files, err := manifest.Find([]string{"apirules", "ingresses"}, nil)
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, file := range files.List {
		for document, err := range file.Documents() {
			if err != nil {
				continue
			}
			objects, err := document.Parse()
			if err != nil {
				continue // templates
			}
			for _, object := range objects {
				kinds[fmt.Sprint(object.Value["kind"])]++
			}
		}
	}
	t.Logf("%d files, %d APIRules, %d Ingresses", len(files.List), kinds["APIRule"], kinds["Ingress"])
	assert.GreaterOrEqual(t, kinds["APIRule"], 60)
	assert.GreaterOrEqual(t, kinds["Ingress"], 40)
}

// Injecting into what inject printed changes nothing.
func TestInjectOfManifestsIsIdempotent(t *testing.T) {
	injected := 0
	for _, one := range manifests(t) {
		_, once, said := run(t, "", "inject", one)
		if once == "" {
			continue // a template
		}
		_, twice, _ := run(t, once, "inject", "-")
		assert.Equal(t, once, twice, one)
		injected += strings.Count(said, ": injected ")
	}
	assert.Positive(t, injected)
}

// Everything that migrate writes is what the API server takes, apart from
// placeholders that somebody else fills in.
func TestMigratedManifestsAreAccepted(t *testing.T) {
	var all []string
	for _, one := range manifests(t) {
		_, out, _ := run(t, "", "migrate", one, "--partial", "--accept-more-open")
		all = append(all, out)
	}
	code, out, err := run(t, strings.Join(all, "\n---\n"), "lint", "-", "-o", "text")
	var refused []string
	for finding := range strings.SplitSeq(out, "\nstdin:") {
		if strings.Contains(finding, ": deny ") && !strings.Contains(finding, "${DOMAIN}") {
			refused = append(refused, finding)
		}
	}
	assert.Empty(t, refused, "%d: %s%s", code, out, err)
	assert.GreaterOrEqual(t, strings.Count(strings.Join(all, ""), "\nkind: APIRule\n"), 50)
}

// An object gets the same bytes in a List as in a stream, but for its indent.
func TestInjectOfAListIsThatOfAStream(t *testing.T) {
	const separator = "---\n"
	var stream, list strings.Builder
	objects := 0
	for _, one := range manifests(t) {
		raw, err := os.ReadFile(one)
		if err != nil || strings.Contains(string(raw), "\r") || filepath.Ext(one) != ".yaml" {
			continue // folders, and forms that a List cannot have beside others
		}
		for document := range strings.SplitSeq(strings.ReplaceAll(string(raw), "...\n", ""), separator) {
			if !strings.Contains(document, "\nkind: APIRule\n") || strings.Contains(document, "{{") {
				continue
			}
			objects++
			stream.WriteString(separator + document)
			list.WriteString(asItem(document))
		}
	}
	require.Greater(t, objects, 50)
	_, injected, _ := run(t, stream.String(), "inject", "-")
	var want strings.Builder
	for document := range strings.SplitSeq(strings.TrimPrefix(injected, separator), separator) {
		want.WriteString(asItem(document))
	}
	const head = "apiVersion: v1\nkind: List\nitems:\n"
	_, got, _ := run(t, head+list.String(), "inject", "-")
	assert.Empty(t, cmp.Diff(head+want.String(), got), "(-stream +list)")
	assert.GreaterOrEqual(t, strings.Count(got, "extauth-guard.io/injected"), 4)
}

// asItem writes a document as an item of a List.
func asItem(document string) string {
	var item strings.Builder
	item.WriteString("-\n")
	for line := range strings.Lines(document) {
		if strings.TrimSpace(line) != "" {
			item.WriteString("  ")
		}
		item.WriteString(line)
	}
	return item.String()
}
