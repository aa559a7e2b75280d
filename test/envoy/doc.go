// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package envoy compares what pkg/extauthz says with what a real Envoy does, with
// the filter configured as istiod configures it for an authorizer. It runs by make
// test-mesh, which gets Envoy.
package envoy
