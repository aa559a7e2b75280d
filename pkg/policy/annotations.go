// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"sort"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// CheckAnnotations tells what is wrong with the annotations of a Service or a
// Namespace, where they are written; an APIRule that depends on them would
// otherwise be the first to be refused.
func CheckAnnotations(kind annotation.Kind, annotations map[string]string) []Finding {
	_, errs := annotation.Parse(kind, annotations)
	if kind == annotation.Service {
		_, more := annotation.ParseExposure(annotations)
		errs = append(errs, more...)
	}
	var found []Finding
	for _, err := range errs {
		found = append(found, annotationFinding(err))
	}
	return found
}

// CheckForeignAnnotations tells which annotations of this project an object
// carries although they have no meaning on its kind: whoever wrote them asked
// for something, at the wrong place.
func CheckForeignAnnotations(kind string, annotations map[string]string) []Finding {
	own := annotation.Own(annotations)
	keys := make([]string, 0, len(own))
	for key := range own {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	var found []Finding
	for _, key := range keys {
		found = append(found, newFinding(InvalidAnnotation, Warn, annotation.Path(key), key,
			fmt.Sprintf("has no effect on objects of the kind %s; write it on the APIRule, on the Service behind it or on the Namespace", kind),
			"has no effect on objects of the kind "+kind))
	}
	return found
}
