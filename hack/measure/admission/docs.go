// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// section is a part of docs/benchmarks.md that shows one run, below the directory
// with the results of all.
type section struct {
	file string
	show func(*strings.Builder, results)
}

// sectionOf returns the section for a run, by what it is about.
func sectionOf(m meta) section {
	switch {
	case m.Protocol == http1:
		return section{"http1/results.json", writeShort}
	case m.Objects > usualObjects:
		return section{"large/results.json", writeProcess}
	}
	return section{"results.json", writeTable}
}

// place returns the lines that the section is between.
func (s section) place() (begins, ends string) {
	return "<!-- table of " + s.file + " begins -->\n", "<!-- table of " + s.file + " ends -->\n"
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
	usual, err := parseConcurrency(usualConcurrency)
	if err != nil {
		return err
	}
	if !slices.Equal(r.Meta.Concurrency, usual) {
		return fmt.Errorf("%s has concurrency %v, and the page shows %v; measure again without -concurrency", file, r.Meta.Concurrency, usual)
	}
	of := sectionOf(r.Meta)
	var table strings.Builder
	of.show(&table, r)
	page := filepath.Join(root, "docs", "benchmarks.md")
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begins, ends := of.place()
	text, err := withTable(string(old), begins, ends, table.String())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if of.file != sectionOf(meta{}).file { // the plots are of the run that shows everything
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
