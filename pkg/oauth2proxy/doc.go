// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oauth2proxy knows oauth2-proxy: the version that the project installs, the
// advisories of older ones with the flags that make each matter, and which of its
// settings are secrets. It asks nobody.
package oauth2proxy
