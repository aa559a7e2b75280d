// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func TestWithTable(t *testing.T) {
	tableBegins, tableEnds := sectionOf(meta{}).place()
	page := "before\n" + tableBegins + "old\n" + tableEnds + "after\n"
	got, err := withTable(page, tableBegins, tableEnds, "new\n")
	require.NoError(t, err)
	assert.Equal(t, "before\n"+tableBegins+"\nnew\n\n"+tableEnds+"after\n", got)

	again, err := withTable(got, tableBegins, tableEnds, "new\n")
	require.NoError(t, err)
	assert.Equal(t, got, again)

	_, err = withTable("no place", tableBegins, tableEnds, "new\n")
	assert.ErrorContains(t, err, "there is no place for the table")
}

func TestEachRunHasASectionOfItsOwn(t *testing.T) {
	page, err := os.ReadFile(checkout.Path(t, "docs/benchmarks.md"))
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, run := range []meta{
		{Protocol: http2, Objects: usualObjects},
		{Protocol: http1, Objects: 1000},
		{Protocol: http2, Objects: 100_000},
	} {
		of := sectionOf(run)
		assert.False(t, seen[of.file], "%v has that of another", run)
		seen[of.file] = true
		begins, ends := of.place()
		got, err := withTable(string(page), begins, ends, "new\n")
		require.NoError(t, err)
		assert.Equal(t, 1, strings.Count(got, begins+"\nnew\n\n"+ends))
	}
}

func TestThePageShowsNoRunOfSomeConcurrencies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"meta": {"concurrency": [1, 10]}}`), 0o600))
	err := render(file, t.TempDir())
	assert.ErrorContains(t, err, "has concurrency [1 10], and the page shows [1 10 50]; measure again without -concurrency")
}

func TestTheShortTableHasComparisonsAndBudgetsOfLatency(t *testing.T) {
	r := summarise(recorded(map[string]int{"a": 4, "an": 4, "n": 8, "b": 8, "c": 8, "d": 10}), []int{1}, seeded())
	r.Meta.Concurrency, r.Meta.Protocol = []int{1}, http1
	var table strings.Builder
	writeShort(&table, r)
	assert.Contains(t, table.String(), "API server to webhook: HTTP/1.1.")
	assert.Contains(t, table.String(), "| (d − a) / (b − a) | 1.50 [1.50–1.50] / 1.50 [1.50–1.50] |")
	assert.Contains(t, table.String(), "| injecting: (d − a) / (b − a), concurrency 1, p50 | 1.50 | 1.50–1.50 | 1.15 | **missed** |")
	assert.NotContains(t, table.String(), "RSS")
}
