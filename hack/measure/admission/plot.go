// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// svg is a drawing under construction. Texts and lines are grey, so that it can
// be read on a light and on a dark page.
type svg struct {
	body          strings.Builder
	width, height float64
}

const (
	grey   = "#7a7f87"
	colour = "#2f7ed8"
	second = "#d9822b"
)

func (s *svg) text(x, y float64, anchor, text string) {
	fmt.Fprintf(&s.body, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>`+"\n", x, y, anchor, grey, html.EscapeString(text))
}

func (s *svg) line(x1, y1, x2, y2 float64, stroke string, width float64) {
	fmt.Fprintf(&s.body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="%.1f"/>`+"\n", x1, y1, x2, y2, stroke, width)
}

func (s *svg) bar(x, y, width, height float64, fill string) {
	fmt.Fprintf(&s.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width, height, fill)
}

func (s *svg) dot(x, y float64, fill string) {
	fmt.Fprintf(&s.body, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x, y, fill)
}

func (s *svg) String() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n%s</svg>\n",
		s.width, s.height, s.body.String())
}

// plotRatios draws each scenario as a bar from 1: how many times as long as the
// same request without webhooks, at p50, with the middle half of the rounds.
func plotRatios(r results) string {
	const left, top, row, scale = 320.0, 44.0, 24.0, 210.0
	type bar struct {
		label string
		pair  pair
	}
	var bars []bar
	bases := map[string]bool{"a": true, "an": true, "u0": true, "ea": true}
	for _, c := range r.Meta.Concurrency {
		for _, one := range ratiosOf() {
			if of, measured := r.Ratios[one.name][concurrencyName(c)]; measured && bases[one.base] && one.of != "an" && one.of != "ea" {
				bars = append(bars, bar{fmt.Sprintf("%s, concurrency %d", titleOf(one.of), c), of})
			}
		}
	}
	s := &svg{width: left + 2.7*scale, height: top + row*float64(len(bars)) + 10}
	s.text(left, 16, "start", "times the same request without webhooks, p50; line: the middle half of the rounds")
	at := func(ratio float64) float64 { return left + (min(max(ratio, 1), 3.4)-1)*scale }
	for tick := 1.0; tick <= 3; tick += 0.5 {
		s.line(at(tick), top-10, at(tick), s.height-10, grey, 0.3)
		s.text(at(tick), top-14, "middle", fmt.Sprintf("%.1f", tick))
	}
	for i, one := range bars {
		y := top + row*float64(i)
		s.text(left-8, y+row/2+4, "end", one.label)
		x := at(one.pair.P50)
		s.bar(left, y+4, max(x-left, 1), row-8, colour)
		s.line(at(one.pair.P50Range[0]), y+row/2, at(one.pair.P50Range[1]), y+row/2, second, 2)
		s.text(max(x, at(one.pair.P50Range[1]))+6, y+row/2+4, "start", fmt.Sprintf("%.2f", one.pair.P50))
	}
	return s.String()
}

func titleOf(name string) string {
	for _, one := range scenarios() {
		if one.name == name {
			return one.title
		}
	}
	return name
}

// plotGrowth draws the latency of a request, with and without webhooks, against
// the size of the cluster, which has a logarithmic axis.
func plotGrowth(points []point) string {
	const left, top, width, height = 60.0, 40.0, 480.0, 240.0
	s := &svg{width: left + width + 40, height: top + height + 50}
	var largest, biggest float64 = 1, 10
	for _, at := range points {
		largest = max(largest, float64(at.With)/1000, float64(at.Without)/1000)
		biggest = max(biggest, float64(at.Objects))
	}
	largest = math.Ceil(largest)
	x := func(objects int) float64 {
		return left + width*math.Log10(max(1, float64(objects)))/math.Log10(biggest)
	}
	y := func(micros int64) float64 { return top + height*(1-float64(micros)/1000/largest) }
	s.text(left, 16, "start", "p50 of a create in ms, concurrency 1, against the number of APIRules and Services")
	for tick := range int(largest) + 1 {
		s.line(left, y(int64(tick)*1000), left+width, y(int64(tick)*1000), grey, 0.3)
		s.text(left-8, y(int64(tick)*1000)+4, "end", strconv.Itoa(tick))
	}
	var before point
	for i, at := range points {
		s.text(x(at.Objects), top+height+18, "middle", strconv.Itoa(at.Objects))
		if i > 0 {
			s.line(x(before.Objects), y(before.With), x(at.Objects), y(at.With), colour, 2)
			s.line(x(before.Objects), y(before.Without), x(at.Objects), y(at.Without), second, 2)
		}
		s.dot(x(at.Objects), y(at.With), colour)
		s.dot(x(at.Objects), y(at.Without), second)
		before = at
	}
	s.dot(left+10, s.height-12, colour)
	s.text(left+20, s.height-8, "start", "ours, injecting")
	s.dot(left+170, s.height-12, second)
	s.text(left+180, s.height-8, "start", "no webhook")
	return s.String()
}
