// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CheckVersion reports the apiVersion of an APIRule that is written as v1beta1.
// Such an APIRule cannot name authorizers, and the webhook never sees it; Kyma
// refuses new ones and reconciles none (Kyma api-gateway 3.10,
// 03-71-apirule-v1beta1-reconciliation-disabled.md).
func CheckVersion(apiVersion string) []Finding {
	if !strings.HasSuffix(apiVersion, "/v1beta1") {
		return nil
	}
	return []Finding{newFinding(LegacyVersion, Warn, field.NewPath("apiVersion"), apiVersion,
		"Kyma no longer reconciles APIRules of this version, and they cannot name authorizers; \"kubectl extauth migrate\" writes the v2 form",
		"no longer reconciled; migrate to v2")}
}
