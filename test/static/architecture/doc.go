// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package architecture holds the tests that keep the shape of this module: who
// may import whom, what no binary may drag in, which word is spelled where.
//
// They look at the module through the go command and at its files, never by
// importing it, so Go's test cache does not see what they depend on: run them
// with -count=1, as make test does.
package architecture
