// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy holds what the product says about oauth2-proxy against the real
// program.
package proxy
