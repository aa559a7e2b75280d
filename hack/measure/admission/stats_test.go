// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[99-i] = time.Duration(i + 1) // not sorted
	}
	cases := map[string]struct {
		of      []time.Duration
		percent float64
		want    time.Duration
	}{
		"half of a hundred":           {hundred, 50, 50},
		"the ninety-ninth":            {hundred, 99, 99},
		"everything":                  {hundred, 100, 100},
		"one value is every percent":  {[]time.Duration{7}, 99, 7},
		"nothing has no percentile":   {nil, 50, 0},
		"the lowest for zero percent": {hundred, 0, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, percentile(tc.of, tc.percent))
		})
	}
}

func TestQuantileFallsBetweenValues(t *testing.T) {
	assert.InDelta(t, 2.5, quantile([]float64{4, 1, 2, 3}, 0.5), 1e-9)
	assert.InDelta(t, 1.75, quantile([]float64{4, 1, 2, 3}, 0.25), 1e-9)
	assert.InDelta(t, 9, quantile([]float64{9}, 0.75), 1e-9)
}

func TestRatioIsTheMedianOfTheRounds(t *testing.T) {
	// One round in which the machine did something else decides nothing.
	got := ratio([]float64{20, 22, 900}, []float64{10, 10, 10})
	assert.InDelta(t, 2.2, got.Value, 1e-9)
	assert.InDelta(t, 2.1, got.Low, 1e-9)
	assert.InDelta(t, 46.1, got.High, 1e-9)
}

func TestTrimmedLeavesOutATenthAtEachEnd(t *testing.T) {
	assert.InDelta(t, 5, trimmed([]float64{1000, 5, 4, 6, 5, 4, 6, 5, 5, -1000}), 1e-9)
	assert.InDelta(t, 4, trimmed([]float64{2, 4, 6}), 1e-9, "a tenth of three is none")
}

func TestAddedComparesDifferences(t *testing.T) {
	base := []float64{10, 10, 10, 10}
	double := []float64{30, 30, 30, 30}
	single := []float64{20, 20, 20, 20}
	got := added(double, base, single, base, seeded())
	assert.InDelta(t, 2, got.Value, 1e-9, "20 more against 10 more")
	assert.InDelta(t, 2, got.Low, 1e-9, "rounds that do not differ leave no doubt")
	assert.InDelta(t, 2, got.High, 1e-9)
}

func TestAddedHasAWideRangeWhereRoundsDiffer(t *testing.T) {
	got := added([]float64{20, 30, 40}, []float64{10, 10, 10}, []float64{20, 20, 20}, []float64{10, 10, 10}, seeded())
	assert.InDelta(t, 2, got.Value, 1e-9)
	assert.Less(t, got.Low, 1.5)
	assert.Greater(t, got.High, 2.5)
}

func TestAddedIsNotMisledByARoundThatIsSlowForAll(t *testing.T) {
	got := added([]float64{30, 30, 90}, []float64{10, 10, 70}, []float64{20, 20, 80}, []float64{10, 10, 70}, seeded())
	assert.InDelta(t, 2, got.Value, 1e-9)
	assert.InDelta(t, 2, got.Low, 1e-9)
	assert.InDelta(t, 2, got.High, 1e-9)
}

// seeded draws the same numbers in every test.
func seeded() *rand.Rand {
	return rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret depends on it
}
