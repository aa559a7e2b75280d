// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// FuzzAudit: what admission would not refuse of a new APIRule, the audit does not
// hold against it once it is stored; and an audit twice is an audit once.
func FuzzAudit(f *testing.F) {
	for _, object := range []string{
		`{"spec":{"hosts":["a.example.com"],"rules":[{"path":"/*","methods":["GET"],"extAuth":{"authorizers":["oauth2-proxy"]}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}},"spec":{"hosts":["a.example.com","a"],"rules":[{"noAuth":true},{"jwt":{}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/inject":"false"}},"spec":{"hosts":["*.example.com"],"gateway":"kyma-system/kyma-gateway","rules":[{"extAuth":{"authorizers":["other"]}}]}}`,
		`{"metadata":{"annotations":{"gateway.kyma-project.io/original-version":"v1beta1"}},"spec":{}}`,
	} {
		f.Add([]byte(object))
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	settings := policy.DefaultSettings()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var object map[string]any
		if json.Unmarshal(raw, &object) != nil || object == nil {
			t.Skip("not an object")
		}
		object["metadata"] = named(object["metadata"])
		world := crowd(t, 20)
		world.SetPolicy(compile(t, "strict", `{mode: Enforce, match: {hosts: ["*.example.com"]}, optOut: Forbidden, require: {allowJWT: true}}`))
		view := apirule.Parse(object, "ns-0000")
		name := types.NamespacedName{Namespace: "ns-0000", Name: "fuzzed"}
		facts := world.Facts(t.Context(), view)
		facts.Now = now
		refused := policy.Denies(policy.Check(view, facts, settings))

		world.SetAPIRule(view)
		audited := newBook(world, policy.DefaultSettings)
		first := audited.examine(t.Context(), now, name)
		require.NotNil(t, first.after)
		second := audited.examine(t.Context(), now, name)
		require.Equal(t, first.after, second.before)
		require.Equal(t, first.after.grave, second.after.grave)
		require.Equal(t, first.after.codes, second.after.codes)
		require.Equal(t, first.after.standings, second.after.standings)
		for _, one := range first.grave {
			// A policy that only audits never refuses; what else is grave would have been.
			if one.Severity == policy.Deny {
				require.True(t, refused, "admission lets pass what the audit reports: %v", one.Err)
			}
		}
	})
}

func named(metadata any) map[string]any {
	fields, ok := metadata.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	fields["name"], fields["namespace"], fields["uid"] = "fuzzed", "ns-0000", "fuzzed"
	return fields
}
