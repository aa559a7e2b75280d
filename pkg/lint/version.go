// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/internal/bound"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// VersionNotServed is an APIRule or an Istio CR of an API version that Kyma does not
// have. Admission never meets one: the API server refuses it before.
const VersionNotServed = "VersionNotServed"

// checkVersion tells whether an APIRule has a version that this project can say
// anything about; its findings are all there is to say about another one.
func checkVersion(apiVersion string) []policy.Finding {
	_, version, _ := strings.Cut(apiVersion, "/")
	switch version {
	case "v2", "v2alpha1":
		return nil
	case "v1beta1":
		return policy.CheckVersion(apiVersion)
	}
	sentence := fmt.Sprintf("Kyma serves no APIRules of this version, and the API server refuses it; write %s/v2", apirule.Group)
	if version == "v1alpha1" {
		sentence += "; \"kubectl extauth migrate\" does it"
	}
	return []policy.Finding{{
		Code: VersionNotServed, Severity: policy.Deny, Subject: apiVersion, Brief: "no such version",
		Err: field.Invalid(field.NewPath("apiVersion"), bound.Text(apiVersion), sentence),
	}}
}

// notServed tells that an object has a version which its CRD does not serve.
func (l Linter) notServed(about identity) []policy.Finding {
	if l.Schemas == nil {
		return nil
	}
	group, _, _ := strings.Cut(about.apiVersion, "/")
	served := l.Schemas.Versions(about.groupKind())
	if len(served) == 0 || slices.Contains(served, about.version()) {
		return nil
	}
	return []policy.Finding{{
		Code: VersionNotServed, Severity: policy.Deny, Subject: about.apiVersion, Brief: "no such version",
		Err: field.Invalid(field.NewPath("apiVersion"), bound.Text(about.apiVersion), fmt.Sprintf(
			"the CRD serves no %s of this version, and the API server refuses it; write %s/%s", about.kind, group, served[len(served)-1])),
	}}
}
