// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recorded has rounds in which every scenario takes the same time, in
// milliseconds.
func recorded(times map[string]int) recording {
	blocks := recording{}
	for name, millis := range times {
		for range 3 {
			took := time.Duration(millis) * time.Millisecond
			at := key{name, 1}
			blocks[at] = append(blocks[at], block{
				latencies: []time.Duration{took, took}, wall: 2 * took, cpu: 4 * time.Millisecond,
			})
		}
	}
	return blocks
}

func TestSummarise(t *testing.T) {
	r := summarise(recorded(map[string]int{"a": 4, "an": 4, "n": 8, "b": 8, "c": 9, "d": 10}), []int{1}, seeded())
	assert.Equal(t, cell{P50: 10_000, P95: 10_000, P99: 10_000, Mean: 10_000, RPS: 100, CPU: 2}, r.Cases["d"]["c1"])
	assert.InDelta(t, 2.5, r.Ratios["d_over_a"]["c1"].P50, 1e-9)
	assert.InDelta(t, 1.5, r.Added["d_over_b"]["c1"].P50, 1e-9, "6 ms more against 4 ms more")
	assert.InDelta(t, 1.25, r.Added["c_over_n"]["c1"].P99, 1e-9, "5 ms more against 4 ms more")
	assert.NotContains(t, r.Ratios, "e_over_d", "what was not measured is not compared")
}

func TestSummariseHasNoNumberThatJSONLacks(t *testing.T) {
	r := summarise(recorded(map[string]int{"a": 4, "b": 4, "d": 10}), []int{1}, seeded())
	_, err := json.Marshal(r)
	require.NoError(t, err)
	assert.Zero(t, r.Added["d_over_b"]["c1"].P50, "b adds nothing to a, so there is no ratio")
}

func TestTableHasARowForEveryScenario(t *testing.T) {
	times := map[string]int{}
	for _, one := range scenarios() {
		times[one.name] = 5
	}
	r := summarise(recorded(times), []int{1}, seeded())
	r.Meta.Concurrency = []int{1}
	var table strings.Builder
	writeTable(&table, r)
	for _, one := range scenarios() {
		assert.Contains(t, table.String(), "| "+one.name+" | "+one.title+" | 5.00 | 5.00 |")
	}
	assert.Contains(t, table.String(), "| d / a | 1.00 [1.00–1.00] / 1.00 [1.00–1.00] |")
	for row := range strings.Lines(table.String()) {
		if strings.HasPrefix(row, "| a |") || strings.HasPrefix(row, "| d |") {
			assert.Equal(t, 12, strings.Count(row, "|"), row)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	times := map[string]int{}
	for _, one := range scenarios() {
		times[one.name] = 5
	}
	r := summarise(recorded(times), []int{1}, seeded())
	r.Meta.Concurrency = []int{1}
	for name, plot := range map[string]string{
		"ratios":             plotRatios(r),
		"growth":             plotGrowth([]point{{Objects: 10, With: 5000, Without: 3000}, {Objects: 10_000, With: 5100, Without: 3000}}),
		"growth of one size": plotGrowth([]point{{Objects: 10, With: 5000, Without: 3000}}),
		"growth of nothing":  plotGrowth(nil),
	} {
		t.Run(name, func(t *testing.T) {
			decoder := xml.NewDecoder(strings.NewReader(plot))
			for {
				_, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
			assert.NotContains(t, plot, "NaN")
			assert.NotContains(t, plot, "Inf")
		})
	}
}

func TestBudgets(t *testing.T) {
	r := summarise(recorded(map[string]int{"a": 4, "an": 4, "n": 8, "b": 8, "c": 8, "d": 10}), []int{1}, seeded())
	r.Meta.Concurrency, r.Webhook.RSS = []int{1}, 44
	var table strings.Builder
	writeBudgets(&table, budgets(r))
	assert.Contains(t, table.String(), "| injecting: (d − a) / (b − a), concurrency 1, p50 | 1.50 | 1.50–1.50 | 1.15 | **missed** |")
	assert.Contains(t, table.String(), "| nothing to inject: (c − an) / (n − an), concurrency 1, p50 | 1.00 | 1.00–1.00 | 1.15 | met |")
	assert.Contains(t, table.String(), "| RSS in the small cluster, MiB | 44.00 |  | 45.00 | met |")
}

func TestVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		of   budget
		want string
	}{
		"below":                        {budget{measured: 1, low: 0.5, high: 2, most: 1.1}, "met"},
		"above with its whole range":   {budget{measured: 2, low: 1.5, high: 3, most: 1.1}, "**missed**"},
		"above, but perhaps below":     {budget{measured: 2, low: 1, high: 3, most: 1.1}, "not decided"},
		"above, without a range":       {budget{measured: 2, low: math.Inf(1), high: math.Inf(1), most: 1.1}, "**missed**"},
		"what could not be worked out": {budget{measured: math.NaN(), low: math.Inf(1), high: math.Inf(1), most: 1.1}, "**missed**"},
		"less than nothing":            {budget{measured: -2, low: -3, high: 3, most: 1.1}, "not decided"},
		"below, but perhaps nothing":   {budget{measured: 1, low: -1, high: 3, most: 1.1}, "not decided"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, tc.of.verdict()) })
	}
}

func TestATableSaysWhichBlocksTheRunHad(t *testing.T) {
	assert.Equal(t, "10 blocks of 10 requests (one of 200 with 10 under way, of 400 with 50; twice as many blocks, but of a2, v and f)", blocksOf(100))
	var table strings.Builder
	writeMeta(&table, meta{Rounds: 3, Block: 100, Blocks: "blocks as they were then"})
	assert.Contains(t, table.String(), "3 rounds of blocks as they were then, in random order")
}
