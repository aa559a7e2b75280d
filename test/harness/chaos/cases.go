// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// namespace is where the load writes.
const namespace = "chaos"

// testCase is one request and what the rules say about it: a part of the
// refusal, or the rules as they have to be stored.
type testCase struct {
	name        string
	annotations map[string]any
	rules       []any
	refusal     string
	stored      string // spec.rules as JSON
	// exempt is a case that is admitted until the exemption for it is over, and
	// then refused.
	exempt bool
	// injected is a case that only injection makes what has to be stored; without it the
	// rule must not be stored.
	injected bool
	// required is a case whose host a policy speaks of.
	required bool
}

// exemptName is the name of the APIRule with the exemption.
const exemptName = "exempt"

var cases = []testCase{
	{
		injected:    true,
		name:        "an annotated open rule is injected",
		annotations: map[string]any{"extauth-guard.io/inject": "true"},
		rules:       []any{rule(nil)},
		stored:      `[{"extAuth":{"authorizers":["oauth2-proxy"]},"methods":["GET"],"path":"/*"}]`,
	},
	{
		injected:    true,
		name:        "noAuth that may be replaced is replaced",
		annotations: map[string]any{"extauth-guard.io/inject": "true", "extauth-guard.io/replace": "noAuth"},
		rules:       []any{rule(map[string]any{"noAuth": true})},
		stored:      `[{"extAuth":{"authorizers":["oauth2-proxy"]},"methods":["GET"],"path":"/*"}]`,
	},
	{
		name:   "noAuth that nobody spoke of stays",
		rules:  []any{rule(map[string]any{"noAuth": true})},
		stored: `[{"methods":["GET"],"noAuth":true,"path":"/*"}]`,
	},
	{
		name:   "a registered authorizer is admitted",
		rules:  []any{rule(extAuth("oauth2-proxy"))},
		stored: `[{"extAuth":{"authorizers":["oauth2-proxy"]},"methods":["GET"],"path":"/*"}]`,
	},
	{
		name:    "an unregistered authorizer is refused",
		rules:   []any{rule(extAuth("ouath2-proxy"))},
		refusal: "[AuthorizerNotRegistered]",
	},
	{
		name:        "a typo in an annotation is refused",
		annotations: map[string]any{"extauth-guard.io/inject": "yes"},
		rules:       []any{rule(map[string]any{"noAuth": true})},
		refusal:     "[InvalidAnnotation]",
	},
	{
		name:   "what a policy refuses is admitted as long as it is exempt",
		rules:  []any{rule(map[string]any{"noAuth": true})},
		stored: `[{"methods":["GET"],"noAuth":true,"path":"/*"}]`,
		exempt: true,
	},
}

func rule(strategy map[string]any) map[string]any {
	one := map[string]any{"path": "/*", "methods": []any{"GET"}}
	maps.Copy(one, strategy)
	return one
}

func extAuth(names ...any) map[string]any {
	return map[string]any{"extAuth": map[string]any{"authorizers": names}}
}

// by is the case at what the clocks say.
func (c testCase) by(clocks reading) testCase {
	if c.exempt && clocks == ahead {
		c.refusal = "[PolicyViolation]"
	}
	return c
}

func (c testCase) object(name string) *unstructured.Unstructured {
	host := name + ".example.com"
	if c.exempt || c.required {
		host = name + exemptHosts
	}
	if c.exempt {
		name = exemptName
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2",
		"kind":       "APIRule",
		"metadata":   map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{
			"hosts":   []any{host},
			"gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": "app", "port": int64(80)},
			"rules":   c.rules,
		},
	}}
	if c.annotations != nil {
		object.Object["metadata"].(map[string]any)["annotations"] = c.annotations //nolint:errcheck // made three lines above
	}
	return object.DeepCopy()
}

// unlike says in what the stored object differs from what it has to be, or "".
func (c testCase) unlike(stored *unstructured.Unstructured) string {
	rules, _, err := unstructured.NestedSlice(stored.Object, "spec", "rules")
	if err != nil {
		return err.Error()
	}
	raw, err := json.Marshal(rules)
	if err != nil {
		return err.Error()
	}
	if string(raw) != c.stored {
		return fmt.Sprintf("stored %s, should be %s", raw, c.stored)
	}
	return ""
}
