// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node installs the chart on a real single-node Kubernetes, as a user
// would, and then breaks things: it runs by make test-node, as root.
//
// Real are the kubelet, the container runtime, Services, the scheduler, our image,
// oauth2-proxy and Helm. Kyma's controllers, the issuer and the cluster's DNS are
// played by this process, because their images cannot be had everywhere.
//
// With make test-mesh the same node has a real mesh instead: istiod and an ingress
// gateway by Istio's charts, Envoys as sidecars, strict mutual TLS, oauth2-proxy by
// the bootstrap job. Kyma's two managers are played by test/harness/kyma,
// the issuer and the cluster's DNS by this process.
package node
