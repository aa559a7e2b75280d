// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of extauth-guard itself: the ExtAuthPolicy, with
// which a platform team says which exposed hosts need which authorizer, and the
// ExtAuthGuard, which configures an installation and tells how it is.
//
// The comments of the fields are what kubectl explain prints, so they are
// written for whoever writes an object. All validation is in the schema and in
// CEL: there is no webhook for these kinds.
//
// +kubebuilder:object:generate=true
// +groupName=extauth-guard.io
package v1alpha1
