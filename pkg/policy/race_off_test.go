// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package policy_test

// raceDetector is true if the tests run with -race.
const raceDetector = false
