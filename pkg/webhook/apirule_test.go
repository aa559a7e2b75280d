// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/metrics"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// rules are APIRules with the given metadata, in flow style, and rules.
func rules(metadata, rules string) string {
	return `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: web, namespace: shop, ` + metadata + `},
		spec: {hosts: [web], gateway: a/b, service: {name: web, port: 80}, future: 12345678901234567, rules: [` + rules + `]}}`
}

const (
	asked  = `annotations: {extauth-guard.io/inject: "true", example.com/mine: kept}`
	open   = `{path: /*, methods: [GET]}`
	noAuth = `{path: /free, methods: [GET], noAuth: true}`
	typo   = `{path: /*, methods: [GET], extAuth: {authorizers: [ouath2-proxy]}}`
	good   = `{path: /*, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`
)

func TestInjectorPatchesTheNamedPathsOnly(t *testing.T) {
	object := rules(asked, noAuth+", "+open)
	response := apiruleRequest(admissionv1.Create, object, "").send(t, decider(world()), webhook.MutateAPIRule)
	want := rules(`annotations: {extauth-guard.io/inject: "true", example.com/mine: kept, `+
		`extauth-guard.io/injected: '[{"rule":1,"authorizers":["oauth2-proxy"],"from":"APIRule"}]'}`, noAuth+", "+good)
	assert.JSONEq(t, string(asJSON(t, want)), patched(t, response, object))
	assert.Contains(t, patched(t, response, object), "12345678901234567", "a large integer survives")
	assert.Equal(t, map[string]string{"injected": "1:APIRule", "skipped": "0:LeftOpen"}, response.AuditAnnotations)

	again := apiruleRequest(admissionv1.Update, patched(t, response, object), object).send(t, decider(world()), webhook.MutateAPIRule)
	assert.Nil(t, again.Patch, "injecting twice changes nothing")
}

func TestInjectorSaysWhyItLeavesAlone(t *testing.T) {
	cases := map[string]struct {
		metadata, rules string
		want            string
	}{
		"nobody asked":             {"", open, "0:NotRequested"},
		"somebody said no":         {`annotations: {extauth-guard.io/inject: "false"}`, open, "0:NotRequested"},
		"being deleted":            {asked + `, deletionTimestamp: "2026-08-21T10:00:00Z"`, open, "Deleting"},
		"owned by a controller":    {asked + `, ownerReferences: [{apiVersion: eventing/v1, kind: Subscription, name: a, uid: u, controller: true}]`, open, "ControllerOwned"},
		"protected already":        {asked, good, "0:AlreadyProtected"},
		"a rule of the wrong type": {asked, `text`, "0:MalformedRule"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			response := apiruleRequest(admissionv1.Create, rules(tc.metadata, tc.rules), "").send(t, decider(world()), webhook.MutateAPIRule)
			assert.True(t, response.Allowed)
			assert.Nil(t, response.Patch)
			assert.Equal(t, map[string]string{"skipped": tc.want}, response.AuditAnnotations)
		})
	}
}

func TestDenialIs422WithOneCauseForEachField(t *testing.T) {
	object := rules("", typo+`, {path: /b, methods: [GET], extAuth: {authorizers: [nobody]}}`)
	response := apiruleRequest(admissionv1.Create, object, "").send(t, decider(world()), webhook.ValidateAPIRule)
	require.False(t, response.Allowed)
	want := &metav1.Status{
		Status: metav1.StatusFailure, Code: 422, Reason: metav1.StatusReasonInvalid,
		Details: &metav1.StatusDetails{
			Group: "gateway.kyma-project.io", Kind: "APIRule", Name: "web",
			Causes: []metav1.StatusCause{
				{
					Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.rules[0].extAuth.authorizers[0]",
					Message: `Invalid value: "ouath2-proxy": not registered in the Istio CR kyma-system/default, so every request would get 403 ` +
						`"RBAC: access denied"; registered: corp, oauth2-proxy; did you mean "oauth2-proxy"? [AuthorizerNotRegistered]`,
				},
				{
					Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.rules[1].extAuth.authorizers[0]",
					Message: `Invalid value: "nobody": not registered in the Istio CR kyma-system/default, so every request would get 403 ` +
						`"RBAC: access denied"; registered: corp, oauth2-proxy; name one of these, or add it to spec.config.authorizers first [AuthorizerNotRegistered]`,
				},
				{
					Type: metav1.CauseTypeFieldValueInvalid, Field: "spec.rules[1].extAuth.authorizers[0]",
					Message: `Invalid value: "nobody": the workload behind Service shop/web would also get the authorizer "ouath2-proxy", from spec.rules[0]: ` +
						`istiod allows one authorizer for each workload and would answer all requests of both with 403; use the same authorizer in both, ` +
						`or separate Services whose selectors share no Pod [AuthorizerConflict]`,
				},
			},
		},
	}
	got := response.Result.DeepCopy()
	assert.True(t, strings.HasPrefix(got.Message, `APIRule.gateway.kyma-project.io "web" is invalid: [spec.rules[0].extAuth.authorizers[0]: Invalid value: `), got.Message)
	got.Message = ""
	assert.Empty(t, cmp.Diff(want, got), "(-want +got)")
	assert.Equal(t, map[string]string{"codes": "AuthorizerConflict,AuthorizerNotRegistered,InternalTrafficBlocked", "verdict": "Blocked"}, response.AuditAnnotations)
}

func TestUnknownRegistryIsRetryable(t *testing.T) {
	object := rules("", good)
	unknown := world()
	unknown.SetRegistry(policy.UnknownRegistryBecause("there is no Istio CR in the namespace kyma-system"))
	const reason = "cannot tell whether this authorizer is registered: there is no Istio CR in the namespace kyma-system; " +
		"try again when the Istio CR in the namespace kyma-system can be read [RegistryUnknown]"

	t.Run("503 with a delay", func(t *testing.T) {
		response := apiruleRequest(admissionv1.Create, object, "").send(t, decider(unknown), webhook.ValidateAPIRule)
		require.False(t, response.Allowed)
		assert.Equal(t, int32(503), response.Result.Code)
		assert.Equal(t, metav1.StatusReasonServiceUnavailable, response.Result.Reason)
		assert.Equal(t, int32(2), response.Result.Details.RetryAfterSeconds)
		assert.Equal(t, `cannot decide on APIRule.gateway.kyma-project.io "web" now: spec.rules[0].extAuth.authorizers[0]: Invalid value: "oauth2-proxy": `+reason,
			response.Result.Message)
	})

	t.Run("a warning, if that is set", func(t *testing.T) {
		lenient := decider(unknown)
		lenient.Settings = func() policy.Settings {
			settings := policy.DefaultSettings()
			settings.UnknownRegistry = policy.Warn
			return settings
		}
		response := apiruleRequest(admissionv1.Create, object, "").send(t, lenient, webhook.ValidateAPIRule)
		assert.True(t, response.Allowed)
		assert.Contains(t, response.Warnings, "RegistryUnknown: spec.rules[0].extAuth.authorizers[0]: cannot tell whether it is registered: there is no Istio CR in th…")
	})

	t.Run("422 wins, because waiting does not help", func(t *testing.T) {
		response := apiruleRequest(admissionv1.Create, rules(`annotations: {extauth-guard.io/inject: maybe}`, good), "").send(t, decider(unknown), webhook.ValidateAPIRule)
		require.False(t, response.Allowed)
		assert.Equal(t, int32(422), response.Result.Code)
		assert.Len(t, response.Result.Details.Causes, 2)
	})
}

func TestWarningsAreShort(t *testing.T) {
	long := strings.Repeat("a", 63)
	object := rules("", `{path: /`+strings.Repeat("b", 200)+`, methods: [GET], service: {name: `+long+`, namespace: `+long+`, port: 80}, extAuth: {authorizers: [oauth2-proxy]}}`)
	response := apiruleRequest(admissionv1.Create, object, "").send(t, decider(world()), webhook.ValidateAPIRule)
	require.True(t, response.Allowed)
	require.NotEmpty(t, response.Warnings)
	for _, warning := range response.Warnings {
		assert.LessOrEqual(t, utf8.RuneCountInString(warning), 120, warning)
	}
}

// The CRD refuses what the mutating webhook left open, before the validating one is asked.
func TestRulesThatNobodyAskedFor(t *testing.T) {
	open := `{path: /*, methods: [GET]}`
	response := apiruleRequest(admissionv1.Create, rules("", open), "").send(t, decider(world()), webhook.MutateAPIRule)
	assert.True(t, response.Allowed)
	assert.Nil(t, response.Patch)
	assert.Equal(t, []string{`spec.rules[0]: no access strategy, so it is refused; to protect it annotate extauth-guard.io/inject: "true"`}, response.Warnings)
	response = apiruleRequest(admissionv1.Create, rules(`annotations: {extauth-guard.io/inject: "true"}`, open), "").send(t, decider(world()), webhook.MutateAPIRule)
	assert.NotNil(t, response.Patch)
	assert.Empty(t, response.Warnings)
}

// Both webhooks see the fault, and one of them tells it.
func TestWarningsComeOnceForAnAdmission(t *testing.T) {
	broken := rules(`annotations: {extauth-guard.io/inject: maybe}`, good)
	var warnings []string
	for _, hook := range []webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule} {
		warnings = append(warnings, apiruleRequest(admissionv1.Update, broken, broken).send(t, decider(world()), hook).Warnings...)
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(warnings))), len(warnings), warnings)
	assert.NotEmpty(t, warnings)
}

func TestUpdatesAreRefusedForWhatTheyBreak(t *testing.T) {
	cases := map[string]struct {
		before, after string
		denied        bool
	}{
		"an old fault stays":                    {typo, typo, false},
		"an old fault moves":                    {typo, noAuth + ", " + typo, false},
		"a fault is repeated":                   {typo, typo + ", " + strings.Replace(typo, "/*", "/b", 1), true},
		"a fault is new":                        {good, typo, true},
		"an old fault is mended":                {typo, good, false},
		"an old fault is replaced by a new one": {typo, strings.Replace(typo, "ouath2-proxy", "nobody", 1), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			response := apiruleRequest(admissionv1.Update, rules("", tc.after), rules("", tc.before)).send(t, decider(world()), webhook.ValidateAPIRule)
			assert.Equal(t, tc.denied, !response.Allowed, "%v", response.Result)
		})
	}
	t.Run("an old fault is still told", func(t *testing.T) {
		response := apiruleRequest(admissionv1.Update, rules("labels: {a: b}", typo), rules("", typo)).send(t, decider(world()), webhook.ValidateAPIRule)
		assert.Equal(t, []string{`AuthorizerNotRegistered: spec.rules[0].extAuth.authorizers[0]: "ouath2-proxy" is not registered; every request gets 403`}, response.Warnings)
	})
	t.Run("a malformed annotation of before does not stop the mutating webhook", func(t *testing.T) {
		broken := rules(`annotations: {extauth-guard.io/inject: maybe}`, good)
		response := apiruleRequest(admissionv1.Update, broken, broken).send(t, decider(world()), webhook.MutateAPIRule)
		assert.True(t, response.Allowed)
		response = apiruleRequest(admissionv1.Create, broken, "").send(t, decider(world()), webhook.MutateAPIRule)
		assert.False(t, response.Allowed)
	})
}

func TestObjectsBeingDeletedPass(t *testing.T) {
	deleting := rules(`deletionTimestamp: "2026-08-21T10:00:00Z", annotations: {extauth-guard.io/inject: maybe}`, typo)
	for _, hook := range []webhook.Hook{webhook.MutateAPIRule, webhook.ValidateAPIRule} {
		response := apiruleRequest(admissionv1.Update, deleting, rules("", good)).send(t, decider(world()), hook)
		assert.True(t, response.Allowed, hook)
		assert.Nil(t, response.Patch, hook)
		assert.Empty(t, response.Warnings, hook)
	}
}

func TestTheNamespaceOfTheRequestCounts(t *testing.T) {
	// A manifest may leave its namespace to the request.
	object := strings.Replace(rules(asked, open), "namespace: shop, ", "", 1)
	excluding := decider(world())
	excluding.Settings = func() policy.Settings {
		settings := policy.DefaultSettings()
		settings.ExcludedNamespaces = map[string]bool{"shop": true}
		return settings
	}
	response := apiruleRequest(admissionv1.Create, object, "").send(t, excluding, webhook.MutateAPIRule)
	assert.Equal(t, map[string]string{"skipped": "NamespaceExcluded"}, response.AuditAnnotations)
}

func TestInjectionsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	measured, err := metrics.NewAdmission(registry)
	require.NoError(t, err)
	measuring := decider(world())
	measuring.Metrics = measured
	apiruleRequest(admissionv1.Create, rules(asked, noAuth+", "+open), "").send(t, measuring, webhook.MutateAPIRule)
	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP extauth_guard_injections_total Rules that got authorizers at admission, by the kind of object that asked for it.
# TYPE extauth_guard_injections_total counter
extauth_guard_injections_total{source="APIRule"} 1
# HELP extauth_guard_skips_total APIRules and rules that were left alone at admission, by reason.
# TYPE extauth_guard_skips_total counter
extauth_guard_skips_total{reason="LeftOpen"} 1
`), "extauth_guard_injections_total", "extauth_guard_skips_total"))
}
