// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// percentile returns the value below which that percentage of the values are
// (nearest rank); 0 if there are none.
func percentile(of []time.Duration, percent float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	rank := int(math.Ceil(percent/100*float64(len(sorted)))) - 1
	return sorted[max(0, rank)]
}

func mean(of []time.Duration) time.Duration {
	if len(of) == 0 {
		return 0
	}
	var sum time.Duration
	for _, one := range of {
		sum += one
	}
	return sum / time.Duration(len(of))
}

// quantile returns the value at a share, 0 to 1, of the sorted values, between
// two of them where it falls between; NaN if there are none.
func quantile(of []float64, share float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	at := share * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (sorted[high]-sorted[low])*(at-float64(low))
}

func median(of []float64) float64 { return quantile(of, 0.5) }

// estimate is a figure with the range that it is believed to be in.
type estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// ratio compares two scenarios round by round: the median of the rounds' ratios,
// and the middle half of them.
func ratio(x, base []float64) estimate {
	ratios := make([]float64, min(len(x), len(base)))
	for i := range ratios {
		ratios[i] = x[i] / base[i]
	}
	return estimate{Value: median(ratios), Low: quantile(ratios, 0.25), High: quantile(ratios, 0.75)}
}

// resamples is how often the rounds are drawn anew for a range.
const resamples = 1000

// trimmed returns the mean of the values without the lowest and the highest tenth.
// They are sorted on the way.
func trimmed(of []float64) float64 {
	slices.Sort(of)
	cut := len(of) / 10
	sum := 0.0
	for _, one := range of[cut : len(of)-cut] {
		sum += one
	}
	return sum / float64(len(of)-2*cut)
}

// added compares what x adds to its base with what y adds to its own. The rounds
// are averaged and the averages subtracted, because the difference within a single
// round may be almost nothing to divide by. The mean of the middle rounds, because
// of what could stand there it differs least between two runs of the same: less
// than the median, and at p99 less than half as much as the percentile of all
// requests together. The range holds 95 of 100 draws of as many rounds with
// repetition; the rounds of all four are drawn together, so that what slows the
// machine down slows all of them down.
func added(x, xBase, y, yBase []float64, random *rand.Rand) estimate {
	rounds := min(len(x), len(xBase), len(y), len(yBase))
	of := func(pick func(int) int) float64 {
		take := func(from []float64) float64 {
			taken := make([]float64, rounds)
			for i := range taken {
				taken[i] = from[pick(i)]
			}
			return trimmed(taken)
		}
		return (take(x) - take(xBase)) / (take(y) - take(yBase))
	}
	draws := make([]float64, resamples)
	for i := range draws {
		drawn := make([]int, rounds)
		for j := range drawn {
			drawn[j] = random.IntN(rounds)
		}
		draws[i] = of(func(i int) int { return drawn[i] })
	}
	return estimate{
		Value: of(func(i int) int { return i }),
		Low:   quantile(draws, 0.025), High: quantile(draws, 0.975),
	}
}
