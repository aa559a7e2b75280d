// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestSelectorHasItsLabelsInOrder(t *testing.T) {
	assert.Nil(t, policy.SelectorOf(nil))
	assert.Nil(t, policy.SelectorOf(map[string]string{}))
	assert.Equal(t, policy.Selector{"a=2", "app=web", "b="}, policy.SelectorOf(map[string]string{"b": "", "app": "web", "a": "2"}))
}

func TestSelectorContainsItsParts(t *testing.T) {
	whole := policy.SelectorOf(map[string]string{"app": "web", "tier": "front"})
	tests := map[string]struct {
		part map[string]string
		want bool
	}{
		"nothing":                     {nil, true},
		"one label":                   {map[string]string{"tier": "front"}, true},
		"itself":                      {map[string]string{"app": "web", "tier": "front"}, true},
		"another value":               {map[string]string{"app": "shop"}, false},
		"another label":               {map[string]string{"track": "web"}, false},
		"one label more":              {map[string]string{"app": "web", "tier": "front", "track": "new"}, false},
		"a value that begins alike":   {map[string]string{"app": "we"}, false},
		"as many labels, one of them": {map[string]string{"app": "web", "track": "new"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, whole.Contains(policy.SelectorOf(tc.part)))
		})
	}
}
