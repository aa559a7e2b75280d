// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func TestEveryAnnotationHasARowAndViceVersa(t *testing.T) {
	var known []string
	for _, kind := range []annotation.Kind{annotation.APIRule, annotation.Service, annotation.Namespace, annotation.Istio} {
		known = append(known, annotation.Keys(kind)...)
	}
	slices.Sort(known)
	raw, err := os.ReadFile(checkout.Path(t, "docs/reference/annotations.md"))
	require.NoError(t, err)
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `("+regexp.QuoteMeta(annotation.Prefix)+"[\\w-]+)` \\|").FindAllStringSubmatch(string(raw), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	assert.Equal(t, slices.Compact(known), documented)
}
