// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// The keys are what users write: a change of one of them breaks every manifest.
func TestKeysAreWhatUsersWrite(t *testing.T) {
	assert.Equal(t, []string{
		"extauth-guard.io/authorizers", "extauth-guard.io/expose-status", "extauth-guard.io/inject", "extauth-guard.io/injected", "extauth-guard.io/replace",
	}, annotation.Keys(annotation.APIRule))
	assert.Equal(t, []string{
		"extauth-guard.io/allow-from", "extauth-guard.io/authorizers", "extauth-guard.io/expose", "extauth-guard.io/expose-gateway", "extauth-guard.io/expose-methods",
		"extauth-guard.io/expose-path", "extauth-guard.io/expose-port", "extauth-guard.io/expose-status", "extauth-guard.io/inject",
		"extauth-guard.io/internal-callers", "extauth-guard.io/replace",
	}, annotation.Keys(annotation.Service))
	assert.Equal(t, []string{
		"extauth-guard.io/authorizers", "extauth-guard.io/inject", "extauth-guard.io/internal-callers", "extauth-guard.io/replace",
	}, annotation.Keys(annotation.Namespace))
	assert.Equal(t, []string{"extauth-guard.io/allow-removal"}, annotation.Keys(annotation.Istio))
	assert.Empty(t, annotation.Keys("Pod"))
}

func TestKeysBelongToTheCaller(t *testing.T) {
	annotation.Keys(annotation.Namespace)[0] = "spoilt"
	assert.Equal(t, annotation.Authorizers, annotation.Keys(annotation.Namespace)[0])
}

func TestOwnKeepsWhatIsOurs(t *testing.T) {
	upper := strings.ToUpper(annotation.Inject)
	all := map[string]string{annotation.Inject: "true", annotation.Prefix + "typo": "x", upper: "true", "example.com/a": "b"}
	own := annotation.Own(all)
	assert.Equal(t, map[string]string{annotation.Inject: "true", annotation.Prefix + "typo": "x", upper: "true"}, own)
	own[annotation.Inject] = "false"
	assert.Equal(t, "true", all[annotation.Inject], "the result is a map of its own")
	assert.Nil(t, annotation.Own(map[string]string{"example.com/a": "b"}))
	assert.Nil(t, annotation.Own(nil))
}

func TestOfReadsTheAnnotationsOfADecodedObject(t *testing.T) {
	cases := map[string]struct {
		object map[string]any
		want   map[string]string
	}{
		"no object":                     {nil, nil},
		"no metadata":                   {map[string]any{}, nil},
		"metadata of a wrong type":      {map[string]any{"metadata": "x"}, nil},
		"annotations of a wrong type":   {map[string]any{"metadata": map[string]any{"annotations": []any{"x"}}}, nil},
		"what is not text is left out":  {map[string]any{"metadata": map[string]any{"annotations": map[string]any{"a": "b", "c": true}}}, map[string]string{"a": "b"}},
		"nothing but what is not text":  {map[string]any{"metadata": map[string]any{"annotations": map[string]any{"c": int64(1)}}}, nil},
		"everybody's annotations count": {map[string]any{"metadata": map[string]any{"annotations": map[string]any{"a": "b", annotation.Inject: "true"}}}, map[string]string{"a": "b", annotation.Inject: "true"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, annotation.Of(tc.object))
		})
	}
}
