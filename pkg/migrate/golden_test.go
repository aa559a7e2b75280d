// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate_test

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
	"github.com/extauth-guard/extauth-guard/pkg/migrate"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// What becomes of the objects of testdata is in the files beside them: by default,
// and with everything that a user may insist on.
func TestGoldens(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, file := range files {
		objects := read(t, file)
		for _, object := range objects {
			kinds[fmt.Sprint(object["kind"])]++
		}
		for name, options := range map[string]migrate.Options{
			"golden":          {Gateway: "kyma-system/kyma-gateway", Default: "oauth2-proxy"},
			"insisted.golden": {Gateway: "kyma-system/kyma-gateway", Default: "oauth2-proxy", Partial: true, AcceptMoreOpen: true, Authorizers: []string{"corp"}},
		} {
			t.Run(filepath.Base(file)+" "+name, func(t *testing.T) {
				got := rendered(t, migrate.Objects(objects, options))
				golden := strings.TrimSuffix(file, "yaml") + name
				if *update {
					require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				assert.Empty(t, cmp.Diff(string(want), got), "(-golden +got); -update writes it")
			})
		}
	}
	assert.GreaterOrEqual(t, kinds["APIRule"], 30)
	assert.GreaterOrEqual(t, kinds["Ingress"], 40)
}

// rendered returns the output, and all notes by kind behind it.
func rendered(t *testing.T, outcome migrate.Outcome) string {
	t.Helper()
	raw, err := outcome.YAML()
	require.NoError(t, err)
	var text strings.Builder
	text.Write(raw)
	text.WriteString("=== notes\n")
	for _, result := range outcome.Results {
		for _, note := range result.Notes {
			kind := []string{"told", "todo", "lost", "restriction", "refused"}[note.Kind]
			fmt.Fprintf(&text, "%s: %s: %s: %s\n", kind, note.Object, note.Path, note.Text)
		}
	}
	return text.String()
}

func read(t *testing.T, file string) []map[string]any {
	t.Helper()
	var values []map[string]any
	for _, document := range documents(t, file) {
		objects, err := document.Parse()
		require.NoError(t, err)
		for _, object := range objects {
			values = append(values, object.Value)
		}
	}
	return values
}

func documents(t *testing.T, file string) []manifest.Document {
	t.Helper()
	raw, err := os.Open(file)
	require.NoError(t, err)
	defer func() { require.NoError(t, raw.Close()) }()
	var all []manifest.Document
	for document, err := range manifest.Split(raw) {
		require.NoError(t, err)
		all = append(all, document)
	}
	return all
}
