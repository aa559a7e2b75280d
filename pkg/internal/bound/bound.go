// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bound limits how much of a stranger's text a sentence repeats, so that
// what a request costs stays in proportion to its size.
package bound

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MaxText is how many bytes of a value a sentence quotes.
	MaxText = 64
	// MaxListed is how many entries of a list a sentence names before it counts
	// the rest.
	MaxListed = 16
)

// Text returns text if it has at most [MaxText] bytes, and else its beginning and
// "…", cut between characters. The beginning and "…" together have at most
// MaxText bytes. The result shares no memory with a longer text.
func Text(text string) string {
	if len(text) <= MaxText {
		return text
	}
	const more = "…"
	end := MaxText - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// List joins names with commas: the first [MaxListed] of them, each as [Text]
// returns it, and then "and N more". An empty list is "none".
func List(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	shown := make([]string, 0, min(len(names), MaxListed))
	for _, name := range names[:min(len(names), MaxListed)] {
		shown = append(shown, Text(name))
	}
	joined := strings.Join(shown, ", ")
	if more := len(names) - len(shown); more > 0 {
		return fmt.Sprintf("%s and %d more", joined, more)
	}
	return joined
}
