// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import "github.com/extauth-guard/extauth-guard/pkg/annotation"

// CheckAnnotations tells what is wrong with the annotations of a Service or a
// Namespace, where they are written; an APIRule that depends on them would
// otherwise be the first to be refused.
func CheckAnnotations(kind annotation.Kind, annotations map[string]string) []Finding {
	_, errs := annotation.Parse(kind, annotations)
	var found []Finding
	for _, err := range errs {
		found = append(found, annotationFinding(err))
	}
	return found
}
