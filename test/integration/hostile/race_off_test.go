// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package hostile_test

// raceDetector is true in a binary with the race detector.
const raceDetector = false
