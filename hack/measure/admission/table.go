// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// writeTable writes results as Markdown, which reads well in a terminal too.
func writeTable(to *strings.Builder, r results) {
	writeMeta(to, r.Meta)
	writeCases(to, "Creates with dryRun=All", r, r.Meta.Concurrency)
	if r.Real != nil {
		writeCases(to, "Creates that are stored", *r.Real, r.Meta.Concurrency)
	}
	writeWebhook(to, r)
	writeBudgets(to, budgets(r))
}

// writeShort writes what is compared, and the budgets of that.
func writeShort(to *strings.Builder, r results) {
	writeMeta(to, r.Meta)
	writeComparisons(to, r, r.Meta.Concurrency)
	writeBudgets(to, latencyBudgets(r))
}

// writeProcess writes what the process costs.
func writeProcess(to *strings.Builder, r results) {
	writeMeta(to, r.Meta)
	writeWebhook(to, r)
}

// blocksOf says what a round consists of. It is kept with the results, because a
// later version of this program may have other blocks.
func blocksOf(usual int) string {
	turns, few := turnsOf(usual, 1)
	_, several := turnsOf(usual, 10)
	_, lots := turnsOf(usual, many)
	return fmt.Sprintf("%d blocks of %d requests (one of %d with 10 under way, of %d with 50; twice as many blocks, but of a2, v and f)",
		turns, few, several, lots)
}

func writeMeta(to *strings.Builder, m meta) {
	fmt.Fprintf(to, "%s, Kubernetes %s, %s, %d CPUs (%s), API server to webhook: %s.\n",
		m.Version, m.Kubernetes, m.Go, m.CPUs, m.CPU, m.Protocol)
	fmt.Fprintf(to, "%d rounds of %s, in random order; load average %s before, %s after; %s.\n",
		m.Rounds, m.Blocks, m.LoadBefore, m.LoadAfter, m.Took)
	fmt.Fprintf(to, "Large cluster: %d APIRules, %d Services, %d authorizers.\n", m.Objects, m.Objects, m.Authorizers)
}

func writeCases(to *strings.Builder, title string, r results, concurrency []int) {
	fmt.Fprintf(to, "\n### %s\n", title)
	for _, c := range concurrency {
		name := concurrencyName(c)
		fmt.Fprintf(to, "\nConcurrency %d, latency in ms:\n\n", c)
		fmt.Fprint(to, "| | | mean | p50 | p95 | p99 | requests/s | errors | p50 to base | p99 to base | CPU s per 1000 |\n")
		fmt.Fprint(to, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
		for _, one := range scenarios() {
			of, measured := r.Cases[one.name][name]
			if !measured {
				continue
			}
			fmt.Fprintf(to, "| %s | %s | %s | %s | %s | %s | %.0f | %d | %s | %s |\n", one.name, one.title,
				millis(of.Mean), millis(of.P50), millis(of.P95), millis(of.P99), of.RPS, of.Errors, toBase(r, one.name, name), cpuOf(of))
		}
	}
	writeComparisons(to, r, concurrency)
}

func writeComparisons(to *strings.Builder, r results, concurrency []int) {
	fmt.Fprintf(to, "\nComparisons, p50 [range] / p99 [range]:\n\n| |%s\n|---|%s\n", columns(concurrency), strings.Repeat("---|", len(concurrency)))
	for _, one := range ratiosOf() {
		writePairs(to, strings.ReplaceAll(one.name, "_over_", " / "), r.Ratios[one.name], concurrency)
	}
	for _, one := range addedOf() {
		label := fmt.Sprintf("(%s − %s) / (%s − %s)", one.of, one.base, one.to, one.toBase)
		writePairs(to, label, r.Added[one.name], concurrency)
	}
}

func columns(concurrency []int) string {
	var row strings.Builder
	for _, c := range concurrency {
		fmt.Fprintf(&row, " concurrency %d |", c)
	}
	return row.String()
}

func writePairs(to *strings.Builder, label string, of map[string]pair, concurrency []int) {
	if len(of) == 0 {
		return
	}
	fmt.Fprintf(to, "| %s |", label)
	for _, c := range concurrency {
		fmt.Fprintf(to, " %s |", describe(of[concurrencyName(c)]))
	}
	to.WriteString("\n")
}

func describe(p pair) string {
	return fmt.Sprintf("%.2f [%.2f–%.2f] / %.2f [%.2f–%.2f]", p.P50, p.P50Range[0], p.P50Range[1], p.P99, p.P99Range[0], p.P99Range[1])
}

// toBase finds the ratio of a scenario to the same request without webhooks.
func toBase(r results, name, concurrency string) string {
	bases := map[string]bool{"a": true, "an": true, "u0": true, "ea": true}
	for _, one := range ratiosOf() {
		if of, measured := r.Ratios[one.name][concurrency]; measured && one.of == name && bases[one.base] && name != "ea" && name != "an" {
			return fmt.Sprintf("%.2f | %.2f", of.P50, of.P99)
		}
	}
	return " | "
}

func millis(micros int64) string { return fmt.Sprintf("%.2f", float64(micros)/1000) }

func cpuOf(of cell) string {
	if of.CPU == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", of.CPU)
}

func writeWebhook(to *strings.Builder, r results) {
	w := r.Webhook
	fmt.Fprint(to, "\n### The webhook's process\n\n| cluster | GOMEMLIMIT | start to ready, s | RSS, MiB | peak RSS, MiB | heap in use, MiB | looking at 10,000 APIRules, s |\n|---|---|--:|--:|--:|--:|--:|\n")
	fmt.Fprintf(to, "| small, after the load | | %.2f | %.0f | | %.0f | |\n", w.Ready, w.RSS, w.Heap)
	for _, large := range w.Large {
		fmt.Fprintf(to, "| %d APIRules and Services, started anew | %s | %.2f | %.0f | %.0f | %.0f | %.2f |\n",
			large.Objects, large.GoMemLimit, large.Ready, large.RSS, large.Peak, large.Heap, large.Sweep)
	}
	if len(r.Growth) == 0 {
		return
	}
	fmt.Fprint(to, "\n### Growth, concurrency 1, p50 in ms\n\n| APIRules and Services | no webhook | ours, injecting | ratio |\n|--:|--:|--:|--:|\n")
	for _, at := range r.Growth {
		fmt.Fprintf(to, "| %d | %s | %s | %.2f |\n", at.Objects, millis(at.Without), millis(at.With), float64(at.With)/float64(at.Without))
	}
}
