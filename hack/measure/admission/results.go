// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// results is the file results.json.
type results struct {
	Meta   meta                       `json:"meta"`
	Cases  map[string]map[string]cell `json:"cases"`
	Ratios map[string]map[string]pair `json:"ratios"`
	// Added compares what webhooks add to a request.
	Added   map[string]map[string]pair `json:"added"`
	Webhook webhookCost                `json:"webhook"`
	Growth  []point                    `json:"growth"`
	// Real is the same for objects that are stored and not only tried.
	Real *results `json:"real,omitempty"`
}

// meta says what a run was.
type meta struct {
	Time        string    `json:"time"`
	Version     string    `json:"version"`
	Kubernetes  string    `json:"kubernetes"`
	Go          string    `json:"go"`
	CPU         string    `json:"cpu"`
	CPUs        int       `json:"cpus"`
	Protocol    string    `json:"protocol"`
	Rounds      int       `json:"rounds"`
	Block       int       `json:"block"`
	Blocks      string    `json:"blocks"`
	Objects     int       `json:"objects"`
	Authorizers int       `json:"authorizers"`
	Concurrency []int     `json:"concurrency"`
	LoadBefore  string    `json:"load_before"`
	LoadAfter   string    `json:"load_after"`
	Took        string    `json:"took"`
	Seed        [2]uint64 `json:"seed"`
}

// cell is one scenario at one concurrency, over all rounds.
type cell struct {
	P50    int64   `json:"p50_us"`
	P95    int64   `json:"p95_us"`
	P99    int64   `json:"p99_us"`
	Mean   int64   `json:"mean_us"`
	Errors int     `json:"errors"`
	RPS    float64 `json:"rps"`
	// CPU is the processor time of the webhook server, in seconds for 1000
	// requests; 0 where there is none.
	CPU float64 `json:"cpu_s_per_1000,omitempty"`
}

// pair is a comparison at two percentiles, with its ranges.
type pair struct {
	P50      float64    `json:"p50"`
	P99      float64    `json:"p99"`
	P50Range [2]float64 `json:"p50_range"`
	P99Range [2]float64 `json:"p99_range"`
}

// webhookCost is what our process costs. What has no size in its name is of the
// small cluster.
type webhookCost struct {
	RSS  float64 `json:"rss_mib"`
	Heap float64 `json:"heap_mib"`
	// CPU is that of scenario d at concurrency 1.
	CPU   float64     `json:"cpu_s_per_1000"`
	Ready float64     `json:"ready_s"`
	Large []largeCost `json:"large"`
}

// largeCost is what our process costs in the large cluster, started anew.
type largeCost struct {
	Objects    int     `json:"objects"`
	GoMemLimit string  `json:"gomemlimit,omitempty"`
	Ready      float64 `json:"ready_s"`
	// Sweep is how long the audit looks at 10,000 APIRules.
	Sweep float64 `json:"sweep_s"`
	// The memory is that after it.
	RSS  float64 `json:"rss_mib"`
	Peak float64 `json:"rss_peak_mib"`
	Heap float64 `json:"heap_mib"`
}

// point is the latency at one size of the cluster, at concurrency 1.
type point struct {
	Objects int   `json:"objects"`
	Without int64 `json:"without_p50_us"`
	With    int64 `json:"with_p50_us"`
}

// key names the blocks of one scenario at one concurrency.
type key struct {
	scenario    string
	concurrency int
}

// recording is everything that was measured, block by block; the blocks of one
// round have the same index.
type recording map[key][]block

func concurrencyName(concurrency int) string { return fmt.Sprintf("c%d", concurrency) }

// comparison says which scenario is divided by which.
type comparison struct{ name, of, base string }

func ratiosOf() []comparison {
	return []comparison{
		{"a2_over_a", "a2", "a"},
		{"an_over_a", "an", "a"},
		{"n_over_an", "n", "an"},
		{"b_over_a", "b", "a"},
		{"c_over_an", "c", "an"},
		{"c_over_n", "c", "n"},
		{"d_over_a", "d", "a"},
		{"d_over_b", "d", "b"},
		{"v_over_a", "v", "a"},
		{"f_over_a", "f", "a"},
		{"u_over_u0", "u", "u0"},
		{"ea_over_a", "ea", "a"},
		{"e_over_ea", "e", "ea"},
		{"e_over_d", "e", "d"},
	}
}

// difference compares what one scenario adds to its base with what another does.
type difference struct{ name, of, base, to, toBase string }

func addedOf() []difference {
	return []difference{
		{"a2_over_b", "a2", "a", "b", "a"}, // nothing against something: how exact the others are
		{"d_over_b", "d", "a", "b", "a"},
		{"c_over_n", "c", "an", "n", "an"},
		{"e_over_d", "e", "ea", "d", "a"},
		{"e_over_b", "e", "ea", "b", "a"},
	}
}

// summarise works out what the blocks say.
func summarise(blocks recording, concurrency []int, random *rand.Rand) results {
	out := results{
		Cases:  map[string]map[string]cell{},
		Ratios: map[string]map[string]pair{},
		Added:  map[string]map[string]pair{},
	}
	for at, rounds := range blocks {
		put(out.Cases, at.scenario, concurrencyName(at.concurrency), cellOf(rounds))
	}
	for _, c := range concurrency {
		for _, one := range ratiosOf() {
			of, base := blocks[key{one.of, c}], blocks[key{one.base, c}]
			if len(of) == 0 || len(base) == 0 {
				continue
			}
			put(out.Ratios, one.name, concurrencyName(c), pairOf(func(percent float64) estimate {
				return ratio(byRound(of, percent), byRound(base, percent))
			}))
		}
		for _, one := range addedOf() {
			of, base, to, toBase := blocks[key{one.of, c}], blocks[key{one.base, c}], blocks[key{one.to, c}], blocks[key{one.toBase, c}]
			if min(len(of), len(base), len(to), len(toBase)) == 0 {
				continue
			}
			put(out.Added, one.name, concurrencyName(c), pairOf(func(percent float64) estimate {
				return added(byRound(of, percent), byRound(base, percent), byRound(to, percent), byRound(toBase, percent), random)
			}))
		}
	}
	return out
}

func put[V any](into map[string]map[string]V, outer, inner string, value V) {
	if into[outer] == nil {
		into[outer] = map[string]V{}
	}
	into[outer][inner] = value
}

func cellOf(rounds []block) cell {
	var all []time.Duration
	var wall, cpu time.Duration
	out := cell{}
	for _, one := range rounds {
		all = append(all, one.latencies...)
		wall += one.wall
		cpu += one.cpu
		out.Errors += one.errors
	}
	out.P50, out.P95, out.P99 = percentile(all, 50).Microseconds(), percentile(all, 95).Microseconds(), percentile(all, 99).Microseconds()
	out.Mean = mean(all).Microseconds()
	out.RPS = rounded(float64(len(all)) / wall.Seconds())
	out.CPU = rounded(cpu.Seconds() / float64(len(all)) * 1000)
	return out
}

// byRound returns a percentile of each block, in microseconds.
func byRound(rounds []block, percent float64) []float64 {
	values := make([]float64, 0, len(rounds))
	for _, one := range rounds {
		values = append(values, float64(percentile(one.latencies, percent).Microseconds()))
	}
	return values
}

func pairOf(at func(percent float64) estimate) pair {
	p50, p99 := at(50), at(99)
	return pair{
		P50: rounded(p50.Value), P50Range: [2]float64{rounded(p50.Low), rounded(p50.High)},
		P99: rounded(p99.Value), P99Range: [2]float64{rounded(p99.Low), rounded(p99.High)},
	}
}

// rounded keeps three digits after the point, and JSON free of what it cannot
// say: a division by nothing is 0.
func rounded(value float64) float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0
	}
	return math.Round(value*1000) / 1000
}
