// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
)

const everything = `{
  "apiVersion": "x/v1", "kind": "X",
  "metadata": {
    "namespace": "shop", "name": "web", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
    "labels": {"exposure": "public"},
    "annotations": {"extauth-guard.io/inject": "true", "gateway.kyma-project.io/original-version": "v2", "a": "b"},
    "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "controller": true}],
    "managedFields": [{"manager": "kubectl"}]
  },
  "spec": {
    "hosts": ["web"], "gateway": "kyma-system/kyma-gateway", "externalGateway": "shop/outside",
    "corsPolicy": {"allowOrigins": [{"exact": "https://a.example.com"}], "allowCredentials": true}, "service": {"name": "web", "port": 80},
    "rules": [{"path": "/*", "methods": ["GET"], "extAuth": {"authorizers": ["a"]}}],
    "config": {"authorizers": [{"name": "a", "service": "a.b.svc", "port": 80, "headers": {"toUpstream": {"onAllow": ["x-auth-request-user"]}}}]}
  },
  "status": {"state": "Ready", "description": "fine"}
}`

// A part that somebody begins to read has to be decoded, too: the views below
// have no empty field, so a new one needs a part in the object above, and then
// the comparison fails until decode reads it.
func TestDecodeReadsAllThatDecisionsDependOn(t *testing.T) {
	var whole map[string]any
	require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts([]byte(everything), &whole))
	var parts object
	require.NoError(t, strictjson.UnmarshalCaseSensitivePreserveInts([]byte(everything), &parts))
	for name, read := range map[string]func(map[string]any) any{
		"an APIRule":  func(object map[string]any) any { return apirule.Parse(object, "") },
		"an Istio CR": func(object map[string]any) any { return istio.Parse(object) },
		"annotations": func(object map[string]any) any { return annotation.Of(object) },
		"labels":      func(object map[string]any) any { return annotation.LabelsOf(object) },
	} {
		t.Run(name, func(t *testing.T) {
			want := read(whole)
			if view := reflect.ValueOf(want); view.Kind() == reflect.Struct {
				for i := range view.NumField() {
					if view.Type().Field(i).Name == "Excess" {
						continue // It is filled by lists that are longer than their limit.
					}
					assert.False(t, view.Field(i).IsZero(), "%s is empty: add to the object of this test what it is read from", view.Type().Field(i).Name)
				}
			}
			assert.Empty(t, cmp.Diff(want, read(parts.untyped())))
		})
	}
}
