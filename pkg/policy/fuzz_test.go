// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// annotated turns "inject=true;replace=jwt" into annotations under our prefix.
func annotated(text string) map[string]string {
	var annotations map[string]string
	for part := range strings.SplitSeq(text, ";") {
		key, value, present := strings.Cut(part, "=")
		if !present {
			continue
		}
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotation.Prefix+key] = value
	}
	return annotations
}

// around makes facts out of annotations: all Services of the APIRule say the
// same.
func around(view apirule.View, registry policy.Registry, ofServices, ofNamespace string) policy.Facts {
	facts := policy.Facts{
		Registry:   registry,
		Services:   map[types.NamespacedName]policy.Service{},
		Namespaces: map[string]policy.Namespace{view.Namespace: {Annotations: annotated(ofNamespace)}},
	}
	for _, rule := range view.Rules {
		facts.Services[rule.Service] = policy.Service{Annotations: annotated(ofServices)}
	}
	return facts
}

// FuzzInject holds injection to what everybody relies on, for any object and any
// annotations around it: the patch applies, it touches nothing but the paths it
// is for, down to the last digit; it protects more and never less; doing it
// again changes nothing; and what admission then checks agrees with it.
func FuzzInject(f *testing.F) {
	for _, object := range []string{
		`{}`, `{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}},"spec":{"rules":[{},{"noAuth":true},{"jwt":{"a":12345678901234567}},{"extAuth":{"restrictions":{"b":1.0e2}}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/authorizers":"corp","extauth-guard.io/replace":"noAuth,jwt","extauth-guard.io/injected":"[{\"rule\":1}]"}},"spec":{"service":{"name":"s","namespace":"n"},"rules":[{"noAuth":true,"x":{"y":[null]}},{"jwt":{"authentications":[{"issuer":"i"}]},"timeout":1},null,{"service":{"name":"proxy"}}]}}`,
		`{"metadata":{"deletionTimestamp":"x"},"spec":{"rules":[{}]}}`, `{"metadata":{"ownerReferences":[{"controller":true,"kind":"Service","apiVersion":"v1"}]},"spec":{"rules":[{"noAuth":false}]}}`,
		`{"metadata":{"annotations":{"gateway.kyma-project.io/original-version":"v1beta1"}},"spec":{"rules":[]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/injet":"true"}},"spec":{"rules":[{"extAuth":{"authorizers":["a",1]}},{"noAuth":"x"}]}}`,
		`{"spec":{"rules":[{"extAuth":null,"jwt":null},{"extAuth":{"authorizers":null}},{"extAuth":{"authorizers":["corp"]}}]}}`,
	} {
		for _, says := range []string{"", "inject=true", "inject=false", "authorizers=a,b;replace=noAuth,jwt", "inject=maybe", "replace=jwt"} {
			f.Add([]byte(object), says, "inject=true;replace=noAuth")
			f.Add([]byte(object), "", says)
		}
	}
	registry := policy.NewRegistry(istio.View{Authorizers: []istio.Authorizer{{Name: "oauth2-proxy", Service: "proxy.n.svc"}, {Name: "corp"}}})
	settings := policy.DefaultSettings()
	f.Fuzz(func(t *testing.T, raw []byte, ofServices, ofNamespace string) {
		var object map[string]any
		if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &object) != nil || object == nil {
			t.Skip("not an object")
		}
		before := apirule.Parse(object, "n")
		facts := around(before, registry, ofServices, ofNamespace)
		injection := policy.Inject(before, facts, settings)
		require.Empty(t, cmp.Diff(injection, policy.Inject(apirule.Parse(object, "n"), around(before, registry, ofServices, ofNamespace), settings), subjects()))
		if injection.Skipped != "" {
			require.True(t, injection.Edits.Empty())
			require.False(t, policy.Denies(policy.Check(before, facts, settings)))
			return
		}
		require.Len(t, injection.Outcomes, len(before.Rules))

		patched, err := apirule.Apply(raw, apirule.JSONPatch(before, injection.Edits))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(untouched(exact(t, raw), before, injection), untouched(exact(t, patched), before, injection)))

		after := apirule.Parse(decode(t, patched), "n")
		require.Equal(t, after, injection.Edits.On(before), "the view of what is stored needs no JSON")
		require.Len(t, after.Rules, len(before.Rules))
		for i, rule := range after.Rules {
			requireNotWeaker(t, before.Rules[i], rule, injection.Outcomes[i])
		}
		require.True(t, policy.Inject(after, facts, settings).Edits.Empty(), "injecting again changes nothing")
		for _, finding := range policy.Check(after, facts, settings) {
			require.NotEqual(t, policy.InjectionMissing, finding.Code)
			require.LessOrEqual(t, len([]rune(finding.Warning())), 120)
			require.NotEmpty(t, finding.Err.Field)
		}
	})
}

// requireNotWeaker: a rule that is not injected is as it was, and one that is has
// authorizers and keeps the protection that it had.
func requireNotWeaker(t *testing.T, before, after apirule.Rule, outcome policy.Outcome) {
	t.Helper()
	if outcome.Reason != policy.Injected {
		require.Equal(t, before, after)
		return
	}
	require.Equal(t, apirule.ExtAuth, after.Strategy)
	require.NotEmpty(t, after.Authorizers)
	require.Empty(t, before.Authorizers, "authorizers that somebody chose are never replaced")
	require.True(t, after.Protected())
	require.Equal(t, before.Service, after.Service)
	require.NotEmpty(t, outcome.From)
}

// subjects compares findings by what they say.
func subjects() cmp.Option {
	return cmp.Comparer(func(a, b policy.Finding) bool {
		return a.Code == b.Code && a.Severity == b.Severity && a.Err.Error() == b.Err.Error() && a.Subject == b.Subject
	})
}

// untouched is a document without the paths that injection may change: the
// record, and the strategies of the rules that are injected. A jwt is kept,
// under one name wherever it is.
func untouched(document map[string]any, before apirule.View, injection policy.Injection) map[string]any {
	dropRecord(document)
	spec, _ := document["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	for _, edit := range injection.Edits.Rules {
		rule, _ := rules[edit.Rule].(map[string]any)
		extAuth, _ := rule["extAuth"].(map[string]any)
		switch before.Rules[edit.Rule].Strategy {
		case apirule.ExtAuth:
			delete(extAuth, "authorizers")
			continue
		case apirule.JWT:
			rule["the jwt"] = rule["jwt"]
			if extAuth != nil {
				rule["the jwt"] = extAuth["restrictions"]
			}
			delete(rule, "jwt")
		case apirule.NoAuth:
			delete(rule, "noAuth")
		case apirule.Open, apirule.Malformed:
		}
		delete(rule, "extAuth")
	}
	return document
}

func dropRecord(document map[string]any) {
	metadata, ok := document["metadata"].(map[string]any)
	if !ok {
		delete(document, "metadata")
		return
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	delete(annotations, annotation.Injected)
	if !ok || len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(document, "metadata")
	}
}

// FuzzCheck: whatever the objects of an update and the names in the Istio CR,
// the same question has the same answer, an update that changes nothing is never
// refused, and a warning is for every finding.
func FuzzCheck(f *testing.F) {
	for _, object := range []string{
		`{}`, `{"spec":{"rules":[{"path":"/*","methods":["GET"],"noAuth":true},{"path":"/{**}","methods":["GET"],"extAuth":{"authorizers":["crop","corp","corp"]}},{"jwt":{}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}},"spec":{"service":{"name":"s"},"rules":[{},{"noAuth":true},{"extAuth":{"authorizers":[""]}}]}}`,
		`{"metadata":{"annotations":{"extauth-guard.io/":"","extauth-guard.io/replace":"\u0000"}},"spec":{"rules":[null,{"path":"//{*}/{**}/","extAuth":{"authorizers":["\ud800"]}}]}}`,
	} {
		f.Add([]byte(object), []byte(`{"spec":{"config":{"authorizers":[{"name":"corp","service":"s.n.svc"},{"name":""},7]}}}`), "inject=true", "inject=maybe")
		f.Add([]byte(object), []byte(`null`), "authorizers=a,b", "")
	}
	f.Fuzz(func(t *testing.T, raw, cr []byte, ofServices, ofNamespace string) {
		var object, mesh map[string]any
		if strictjson.UnmarshalCaseSensitivePreserveInts(raw, &object) != nil || strictjson.UnmarshalCaseSensitivePreserveInts(cr, &mesh) != nil {
			t.Skip("not objects")
		}
		view, registry := apirule.Parse(object, "n"), policy.Registry{}
		if mesh != nil {
			registry = policy.NewRegistry(istio.Parse(mesh))
		}
		facts := around(view, registry, ofServices, ofNamespace)
		findings := policy.Check(view, facts, policy.DefaultSettings())
		require.Empty(t, cmp.Diff(findings, policy.Check(view, facts, policy.DefaultSettings()), subjects()))
		require.False(t, policy.Denies(policy.Ratchet(findings, findings)))
		require.Equal(t, slices.Compact(policy.Codes(findings)), policy.Codes(findings))
		for _, finding := range findings {
			require.NotEmpty(t, finding.Err.Field)
			require.Contains(t, finding.Err.Detail, string(finding.Code))
			require.LessOrEqual(t, len([]rune(finding.Warning())), 120)
		}
	})
}
