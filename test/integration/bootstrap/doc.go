// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap tests the bootstrap job as it ships against a real control
// plane, a real OpenID Connect provider and the real Helm SDK.
//
// What a control plane without nodes and without Kyma lacks is played by two
// small loops: one makes Deployments ready and runs their proxy in this process,
// the other does what Kyma's Istio module does with the list of authorizers.
package bootstrap
