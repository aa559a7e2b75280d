// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !node

package main

// node returns nothing: a control plane for tests builds in half the time
// without the programs that run Pods.
func node() map[string]program { return nil }
