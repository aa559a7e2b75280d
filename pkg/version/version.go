// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package version says which version of the project this is.
package version

// version is set when a release is linked.
var version = "0.0.0-dev"

// String returns the version, for example "0.1.0", or "0.0.0-dev" for a binary
// that was not made by the release.
func String() string {
	return version
}
