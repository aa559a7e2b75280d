// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The table of docs/benchmarks.md is between these lines.
const (
	tableBegins = "<!-- table of results.json begins -->\n"
	tableEnds   = "<!-- table of results.json ends -->\n"
)

// render writes what a results.json says into the documentation, so that the
// page shows one real run and nothing that was typed.
func render(file, root string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading results: %w", err)
	}
	var r results
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("reading results: %w", err)
	}
	var table strings.Builder
	writeTable(&table, r)
	page := filepath.Join(root, "docs", "benchmarks.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := withTable(string(old), table.String())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	plots := filepath.Join(root, "docs", "benchmarks")
	return errors.Join(
		os.WriteFile(page, []byte(text), 0o600),
		os.WriteFile(filepath.Join(plots, "ratios.svg"), []byte(plotRatios(r)), 0o600),
		os.WriteFile(filepath.Join(plots, "growth.svg"), []byte(plotGrowth(r.Growth)), 0o600))
}

// withTable returns page with what is between the two lines replaced.
func withTable(page, table string) (string, error) {
	before, rest, begins := strings.Cut(page, tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return "", fmt.Errorf("there is no place for the table; it needs the lines %q and %q", strings.TrimSpace(tableBegins), strings.TrimSpace(tableEnds))
	}
	return before + tableBegins + "\n" + table + "\n" + tableEnds + after, nil
}
