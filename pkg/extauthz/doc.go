// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package extauthz asks an authorizer exactly as Envoy's ext_authz HTTP filter
// does for an authorizer of the Kyma Istio CR, and judges the answer as the
// filter does.
//
// What is asked is built by a pure function, [NewCheck]; [Asker] sends it. Facts
// about the filter are those of Envoy's ext_authz.proto (AuthorizationRequest,
// AuthorizationResponse), check_request_utils.cc and ext_authz_http_impl.cc,
// facts about its configuration those of istiod's extauthz.go. Headers that
// Envoy's HTTP client adds for itself, such as x-envoy-expected-rq-timeout-ms
// and tracing, are not reproduced.
package extauthz
