// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package managers stands in for Kyma's two managers, which are not to be had as
// Go modules: from values to values, it says what they would write. The API
// Gateway manager makes AuthorizationPolicies, RequestAuthentications and a
// VirtualService of an APIRule, or refuses it with the failures that its status
// then shows; the Istio manager makes the mesh configuration of an Istio CR.
//
// Sources: api-gateway 3.10 (processors/v2alpha1, validation/v2alpha1) and istio
// 1.30 (api/v1alpha2/istio_merge.go, internal/validation). Two things differ: an
// object has a name that its content decides, where Kyma has the API server make
// one up, and the hash label is another hash of the same parts.
package managers
