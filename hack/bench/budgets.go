// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// budget is a figure with what it may be at most.
type budget struct {
	what     string
	measured float64
	most     float64
}

// budgets are the promises of this project, with what a run says about them. Of
// several concurrencies the worst counts.
func budgets(r results) []budget {
	worst := func(of map[string]pair, at func(pair) float64) float64 {
		value := 0.0
		for _, one := range of {
			value = max(value, at(one))
		}
		return value
	}
	p50, p99 := func(p pair) float64 { return p.P50 }, func(p pair) float64 { return p.P99 }
	c1 := concurrencyName(1)
	all := []budget{
		{"injecting: (d − a) / (b − a), p50", worst(r.Added["d_over_b"], p50), 1.15},
		{"injecting: (d − a) / (b − a), p99", worst(r.Added["d_over_b"], p99), 1.35},
		{"nothing to inject: (c − an) / (n − an), p50", worst(r.Added["c_over_n"], p50), 1.15},
		{"nothing to inject: (c − an) / (n − an), p99", worst(r.Added["c_over_n"], p99), 1.35},
		{"processor time of c to n, concurrency 1", r.Cases["c"][c1].CPU / r.Cases["n"][c1].CPU, 1.5},
		{"processor time of d to n, concurrency 1", r.Cases["d"][c1].CPU / r.Cases["n"][c1].CPU, 1.5},
		{"not called: u / u0, p50", worst(r.Ratios["u_over_u0"], p50), 1.1},
		{"growth: (e − ea) / (d − a), p50", worst(r.Added["e_over_d"], p50), 1.1},
		{"RSS in the small cluster, MiB", r.Webhook.RSS, 45},
	}
	for _, large := range r.Webhook.Large {
		name := strings.TrimSpace(fmt.Sprintf("%d APIRules and Services %s", large.Objects, large.GoMemLimit))
		all = append(all, budget{"RSS, MiB, " + name, large.RSS, 100}, budget{"start to ready, s, " + name, large.Ready, 5})
	}
	return all
}

func writeBudgets(to *strings.Builder, r results) {
	to.WriteString("\n### Budgets\n\n| | measured | at most | |\n|---|--:|--:|---|\n")
	for _, one := range budgets(r) {
		verdict := "met"
		if !(one.measured <= one.most) { // also what is no number
			verdict = "**missed**"
		}
		fmt.Fprintf(to, "| %s | %.2f | %.2f | %s |\n", one.what, rounded(one.measured), one.most, verdict)
	}
}
