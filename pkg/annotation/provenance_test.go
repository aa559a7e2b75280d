// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

func TestProvenanceRoundTrip(t *testing.T) {
	records := []annotation.Provenance{
		{Rule: 0, Authorizers: []string{"oauth2-proxy"}, From: "APIRule"},
		{Rule: 2, Authorizers: []string{"a", "b"}, From: "Service shop/cart"},
	}
	text := annotation.FormatProvenance(records)
	assert.Equal(t, `[{"rule":0,"authorizers":["oauth2-proxy"],"from":"APIRule"},{"rule":2,"authorizers":["a","b"],"from":"Service shop/cart"}]`, text) //nolint:testifylint // the bytes matter, not only the meaning
	assert.Equal(t, records, annotation.ParseProvenance(text))
}

func TestProvenanceOfSomebodyElse(t *testing.T) {
	cases := map[string]struct {
		value string
		want  []annotation.Provenance
	}{
		"nothing":                  {"", nil},
		"not JSON":                 {"injected", nil},
		"not a list":               {`{"rule":0}`, nil},
		"a list of something else": {`["a"]`, nil},
		"a record of wrong types":  {`[{"rule":"0"}]`, nil},
		"more than one value":      {`[] []`, nil},
		"null":                     {"null", nil},
		"unknown keys are ignored": {`[{"rule":1,"authorizers":["a"],"from":"x","more":1}]`, []annotation.Provenance{{Rule: 1, Authorizers: []string{"a"}, From: "x"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, annotation.ParseProvenance(tc.value))
		})
	}
}
