// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package oauth2proxy runs the real oauth2-proxy as a process on loopback. The
// program comes from hack/cluster/oauth2-proxy.sh, which builds it once.
package oauth2proxy
