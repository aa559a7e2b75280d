// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package annotation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

func TestParseCallers(t *testing.T) {
	for value, want := range map[string]annotation.Callers{
		"*":                 {All: true},
		" * ":               {All: true},
		"shop":              {Listed: []annotation.Caller{{Namespace: "shop"}}},
		"shop/cart.v1":      {Listed: []annotation.Caller{{Namespace: "shop", ServiceAccount: "cart.v1"}}},
		"batch/job , shop ": {Listed: []annotation.Caller{{Namespace: "batch", ServiceAccount: "job"}, {Namespace: "shop"}}},
	} {
		got, errs := annotation.ParseCallers(annotation.Path(annotation.InternalCallers), value)
		require.Empty(t, errs, value)
		assert.Empty(t, cmp.Diff(&want, got), value)
		again, errs := annotation.ParseCallers(nil, got.String())
		require.Empty(t, errs, value)
		assert.Equal(t, got, again, "what is shown can be written")
	}
}

func TestParseCallersRefuses(t *testing.T) {
	for value, want := range map[string]string{
		"":             "must name a caller",
		" ":            "must name a caller",
		"shop,":        "has an empty entry",
		"shop,shop":    `names "shop" twice`,
		"*,shop":       `"*" has a wildcard; write "*" alone`,
		"shop/*":       `"shop/*" has a wildcard`,
		"*/cart":       `"*/cart" has a wildcard`,
		"shop*":        `"shop*" has a wildcard`,
		"**":           `"**" has a wildcard`,
		"Shop":         "does not begin with the name of a namespace",
		"shop/":        "does not end with the name of a ServiceAccount",
		"/cart":        "does not begin with the name of a namespace",
		"shop/ cart":   "does not end with the name of a ServiceAccount",
		"istio-system": "is where the ingress gateways run",
		"shop, istio-system/istio-ingressgateway-service-account": "is where the ingress gateways run",
		"cluster.local/ns/istio-system/sa/istio-ingressgateway":   "without trust domain",
		"spiffe://cluster.local/ns/shop/sa/cart":                  "without trust domain",
		strings.Repeat("a,", 16) + "b":                            "has 17 entries; name at most 16 callers",
		strings.Repeat("a", 5000):                                 "has 5000 bytes; at most 4096 are read",
	} {
		got, errs := annotation.ParseCallers(annotation.Path(annotation.InternalCallers), value)
		assert.Nil(t, got, "%q", value)
		require.NotEmpty(t, errs, "%q", value)
		assert.Contains(t, errs.ToAggregate().Error(), want, "%q", value)
		intent, errs := annotation.Parse(annotation.Service, map[string]string{annotation.InternalCallers: value, annotation.Inject: "true"})
		assert.NotEmpty(t, errs, "%q: and nothing else of the object is believed", value)
		assert.Equal(t, annotation.Intent{}, intent, "%q", value)
	}
}
