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

// place returns the lines of docs/benchmarks.md that the results of a protocol are
// between.
func place(protocol string) (begins, ends string) {
	file := "results.json"
	if protocol == http1 {
		file = "http1/results.json"
	}
	return "<!-- table of " + file + " begins -->\n", "<!-- table of " + file + " ends -->\n"
}

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
	if r.Meta.Protocol == http1 {
		writeShort(&table, r)
	} else {
		writeTable(&table, r)
	}
	page := filepath.Join(root, "docs", "benchmarks.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begins, ends := place(r.Meta.Protocol)
	text, err := withTable(string(old), begins, ends, table.String())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if r.Meta.Protocol == http1 {
		return os.WriteFile(page, []byte(text), 0o600)
	}
	plots := filepath.Join(root, "docs", "benchmarks")
	return errors.Join(
		os.WriteFile(page, []byte(text), 0o600),
		os.WriteFile(filepath.Join(plots, "ratios.svg"), []byte(plotRatios(r)), 0o600),
		os.WriteFile(filepath.Join(plots, "growth.svg"), []byte(plotGrowth(r.Growth)), 0o600))
}

// withTable returns page with what is between two lines replaced.
func withTable(page, begins, ends, table string) (string, error) {
	before, rest, begun := strings.Cut(page, begins)
	_, after, ended := strings.Cut(rest, ends)
	if !begun || !ended {
		return "", fmt.Errorf("there is no place for the table; it needs the lines %q and %q", strings.TrimSpace(begins), strings.TrimSpace(ends))
	}
	return before + begins + "\n" + table + "\n" + ends + after, nil
}
