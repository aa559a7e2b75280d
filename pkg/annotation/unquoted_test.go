// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// What nobody quoted is refused by the API server, so it never reads as "not asked".
func TestWhatIsNotQuotedIsRefused(t *testing.T) {
	for key, values := range map[string]map[string]any{
		annotation.Inject:      {`quote it: "true"`: true, `quote it: "false"`: false, `quote it: "1"`: int64(1), "write one in quotes": nil},
		annotation.Authorizers: {`quote it: "0.5"`: 0.5, "write one in quotes": []any{"oauth2-proxy"}},
		annotation.Replace:     {"write one in quotes": map[string]any{"noAuth": true}},
	} {
		for want, value := range values {
			annotations := annotation.Of(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value, "other.io/a": true}}})
			require.Len(t, annotations, 1, "a key of somebody else is none of ours")
			for _, kind := range []annotation.Kind{annotation.APIRule, annotation.Service, annotation.Namespace} {
				intent, errs := annotation.Parse(kind, annotations)
				assert.Zero(t, intent)
				require.Len(t, errs, 1)
				assert.Equal(t, annotation.Path(key).String(), errs[0].Field)
				assert.Contains(t, errs[0].Detail, want)
			}
		}
	}
	port := annotation.Of(map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation.Expose: "shop", annotation.ExposePort: int64(80)}}})
	_, errs := annotation.Parse(annotation.Service, port)
	require.Len(t, errs, 1)
	assert.Contains(t, errs[0].Detail, `quote it: "80"`)
	exposure, errs := annotation.ParseExposure(port)
	assert.Nil(t, exposure)
	assert.Empty(t, errs, "said once")
}
