// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is that of both kinds; Kind and Resource name the ExtAuthPolicy.
const (
	Group    = "extauth-guard.io"
	Kind     = "ExtAuthPolicy"
	Resource = "extauthpolicies"
)

// GroupVersion is the group and version of this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// SchemeBuilder collects what AddToScheme adds.
var SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme adds the types of this package to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ExtAuthPolicy{}, &ExtAuthPolicyList{}, &ExtAuthGuard{}, &ExtAuthGuardList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
