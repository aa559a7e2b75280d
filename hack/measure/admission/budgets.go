// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// budget is a figure with what it may be at most.
type budget struct {
	what     string
	measured float64
	// low and high are the range that the figure is believed to be in.
	low, high float64
	most      float64
}

// spread is the range, if there is one.
func (b budget) spread() string {
	if math.IsInf(b.low, 0) {
		return ""
	}
	return fmt.Sprintf("%.2f–%.2f", b.low, b.high)
}

// verdict is "not decided" for a figure that is too high, but whose range begins
// below what it may be, and for one that may be below zero: nothing takes time
// away, so the machine was too busy to tell.
func (b budget) verdict() string {
	switch {
	case b.measured < 0 || b.low < 0:
		return "not decided"
	case b.measured <= b.most:
		return "met"
	case b.low <= b.most:
		return "not decided"
	}
	return "**missed**"
}

// budgets are the promises of this project, with what a run says about them.
func budgets(r results) []budget {
	c1 := concurrencyName(1)
	none := math.Inf(1)
	all := append([]budget{
		{"processor time of c to n, concurrency 1", r.Cases["c"][c1].CPU / r.Cases["n"][c1].CPU, none, none, 1.5},
		{"processor time of d to n, concurrency 1", r.Cases["d"][c1].CPU / r.Cases["n"][c1].CPU, none, none, 1.5},
		{"RSS in the small cluster, MiB", r.Webhook.RSS, none, none, 45},
	}, latencyBudgets(r)...)
	for _, large := range r.Webhook.Large {
		name := strings.TrimSpace(fmt.Sprintf("%d APIRules and Services %s", large.Objects, large.GoMemLimit))
		all = append(all, budget{"RSS, MiB, " + name, large.RSS, none, none, 100}, budget{"start to ready, s, " + name, large.Ready, none, none, 5},
			budget{"looking at 10,000 APIRules, s, " + name, large.Sweep, none, none, 2})
	}
	return all
}

func latencyBudgets(r results) []budget {
	var all []budget
	for _, c := range r.Meta.Concurrency {
		at := concurrencyName(c)
		for _, one := range []struct {
			what     string
			of       map[string]pair
			p50, p99 float64
		}{
			{"injecting: (d − a) / (b − a)", r.Added["d_over_b"], 1.15, 1.35},
			{"nothing to inject: (c − an) / (n − an)", r.Added["c_over_n"], 1.15, 1.35},
			{"growth: (e − ea) / (d − a)", r.Added["e_over_d"], 1.1, 0},
			{"not called: u / u0", r.Ratios["u_over_u0"], 1.1, 0},
		} {
			of, what := one.of[at], fmt.Sprintf("%s, concurrency %d", one.what, c)
			all = append(all, budget{what + ", p50", of.P50, of.P50Range[0], of.P50Range[1], one.p50})
			if one.p99 > 0 {
				all = append(all, budget{what + ", p99", of.P99, of.P99Range[0], of.P99Range[1], one.p99})
			}
		}
	}
	return all
}

func writeBudgets(to *strings.Builder, all []budget) {
	to.WriteString("\n### Budgets\n\n| | measured | range | at most | |\n|---|--:|--:|--:|---|\n")
	for _, one := range all {
		fmt.Fprintf(to, "| %s | %.2f | %s | %.2f | %s |\n", one.what, rounded(one.measured), one.spread(), one.most, one.verdict())
	}
}
