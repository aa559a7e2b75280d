// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node installs the chart on a real single-node Kubernetes, as a user
// would, and then breaks things: it runs by make test-node, as root.
//
// Real are the kubelet, the container runtime, Services, the scheduler, our image
// and Helm. Kyma's controllers, the issuer and the cluster's DNS are played by this
// process, and oauth2-proxy by its stand-in, because their images cannot be had
// everywhere.
package node
