// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bypass_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// TestBypassByChange has the ideas about changing an APIRule that was right, or
// the world around it.
func TestBypassByChange(t *testing.T) {
	s := start(t)

	t.Run("annotation removed after injection", func(t *testing.T) {
		s := s.idea(t, "annotation-removed")
		s.enforce()
		require.NoError(t, s.create(s.annotated("web", `extauth-guard.io/inject: "true"`, asking)))
		require.NoError(t, s.merge("web", `{"metadata":{"annotations":null}}`))
		assert.Contains(t, s.firstRule("web"), "extAuth", "what was injected stays")
		s.counts(1, 0, 0)
		s.refused(s.merge("web", `{"spec":{"rules":`+openRules+`}}`), "PolicyViolation")
		s.refused(s.merge("web", `{"metadata":{"annotations":{"extauth-guard.io/inject":"false"}}}`), "OptOutForbidden")
	})

	t.Run("noAuth added by update", func(t *testing.T) {
		s := s.idea(t, "noauth-added")
		require.NoError(t, s.create(s.annotated("asked", `extauth-guard.io/inject: "true"`, asking)))
		require.NoError(t, s.merge("asked", `{"spec":{"rules":`+openRules+`}}`), "an annotation alone does not forbid it")
		s.measured("RuleLeftOpen", 1)
		require.NoError(t, s.create(s.apirule("web", authed)))
		s.enforce()
		s.refused(s.merge("web", `{"spec":{"rules":`+openRules+`}}`), "PolicyViolation")
		s.violates("asked", "PolicyViolation")
	})

	t.Run("rule order swapped", func(t *testing.T) {
		s := s.idea(t, "rule-order")
		s.enforce(exemption(s.namespace, "web", `"/public/{**}"`, "2999-12-31"))
		const (
			admin  = `{"path":"/public/admin","methods":["GET"],"extAuth":{"authorizers":["oauth2-proxy"]}}`
			public = `{"path":"/public/{**}","methods":["GET"],"noAuth":true}`
		)
		require.NoError(t, s.create(s.apirule("web", admin+", "+public)))
		s.counts(1, 1, 0)
		require.NoError(t, s.merge("web", `{"spec":{"rules":[`+public+`,`+admin+`]}}`))
		s.measured("RuleShadowed", 1)
	})

	t.Run("strategies of two rules swapped", func(t *testing.T) {
		s := s.idea(t, "strategies")
		require.NoError(t, s.create(s.apirule("web", `{path: /a, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}, {path: /b, methods: [GET], noAuth: true}`)))
		s.enforce()
		s.violates("web", "PolicyViolation")
		s.refused(s.merge("web", `{"spec":{"rules":[{"path":"/a","methods":["GET"],"noAuth":true},{"path":"/b","methods":["GET"],"extAuth":{"authorizers":["oauth2-proxy"]}}]}}`), "PolicyViolation")
	})

	t.Run("host moved to another APIRule", func(t *testing.T) {
		s := s.idea(t, "host-moved")
		require.NoError(t, s.create(s.apirule("old", open)))
		require.NoError(t, s.create(s.apirule("admin", authed)))
		s.enforce(exemption(s.namespace, "exempt", "", "2999-12-31"))
		s.refused(s.merge("old", `{"spec":{"hosts":["admin"]}}`), "PolicyViolation")
		s.refused(s.create(strings.Replace(s.apirule("new", open), "hosts: [new]", "hosts: [old]", 1)), "PolicyViolation")
		// Known gap: an exemption names an APIRule and paths, not a host. The
		// policy goes on counting the APIRule as exempt.
		require.NoError(t, s.create(s.apirule("exempt", open)))
		require.NoError(t, s.merge("exempt", `{"spec":{"hosts":["admin"]}}`))
		s.counts(3, 1, 1)
	})

	t.Run("Service repointed by selector change", func(t *testing.T) {
		s := s.idea(t, "repointed")
		s.service("other", "other")
		s.enforce(exemption(s.namespace, "exempt", "", "2999-12-31"))
		through := func(name, service, rule string) string {
			return strings.Replace(s.apirule(name, rule), "{name: web,", "{name: "+service+",", 1)
		}
		require.NoError(t, s.create(s.apirule("web", authed)))
		require.NoError(t, s.create(through("corp", "other", strings.Replace(authed, "oauth2-proxy", "corp", 1))))
		s.counts(2, 0, 0)
		s.service("other", "web")
		s.measured("AuthorizerConflict", 2)
		s.event("corp", "AuthorizerConflict")
		// Known gap: an APIRule that is exempt stays so when its Service is
		// pointed at a workload that others protect. The policy goes on counting
		// it as exempt.
		s.service("open", "open")
		require.NoError(t, s.create(through("exempt", "open", open)))
		s.service("open", "web")
		s.counts(3, 1, 0)
	})

	t.Run("namespace relabelled", func(t *testing.T) {
		s := s.idea(t, "relabelled")
		s.enforce()
		label := func(patch string) {
			_, err := s.Typed.CoreV1().Namespaces().Patch(t.Context(), s.namespace, types.MergePatchType, []byte(`{"metadata":{"labels":{`+patch+`}}}`), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		label(`"kubernetes.io/metadata.name":"kube-system"`) // which the API server sets back
		s.refused(s.create(s.apirule("web", open)), "PolicyViolation")
		require.NoError(t, s.create(s.apirule("web", authed)))
		s.counts(1, 0, 0)
		// Known gap: a policy is about the labels that a namespace has now. That
		// it matches less is what is reported.
		label(`"guarded":null`)
		s.counts(0, 0, 0)
		require.NoError(t, s.merge("web", `{"spec":{"rules":`+openRules+`}}`))
		label(`"guarded":"relabelled"`)
		s.violates("web", "PolicyViolation")
		s.event("web", "PolicyViolation")
	})

	t.Run("exemption expired", func(t *testing.T) {
		s := s.idea(t, "expired")
		s.enforce(exemption(s.namespace, "web", "", "2999-12-31"))
		require.NoError(t, s.create(s.apirule("web", open)))
		s.counts(1, 1, 0)
		s.enforce(exemption(s.namespace, "web", "", "2026-01-01"), exemption(s.namespace, "new", "", "2026-01-01"))
		s.counts(1, 0, 1)
		s.violates("web", "PolicyViolation")
		s.refused(s.create(s.apirule("new", open)), "PolicyViolation")
		s.metric(`extauth_guard_exemptions{policy="expired",state="expired"} 2`)
	})
}

// TestBypassByDisguise has the ideas about looking like something else.
func TestBypassByDisguise(t *testing.T) {
	s := start(t)

	// Known gap: what another controller owns is never refused, because that
	// controller would try for ever. Whoever writes APIRules can claim that; the
	// audit reports it all the same.
	t.Run("controller ownerReference forged", func(t *testing.T) {
		s := s.idea(t, "owner")
		s.enforce()
		owned := func(name, kind, rule string) error {
			object := kyma.Object(t, s.apirule(name, rule))
			version := "apps/v1"
			if kind == "Service" {
				version = "v1"
			}
			object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: "web", UID: "forged", Controller: new(true)}})
			_, err := s.At(object).Create(t.Context(), object, metav1.CreateOptions{})
			return err
		}
		s.refused(owned("service", "Service", open), "PolicyViolation")
		require.NoError(t, owned("deployment", "Deployment", open))
		s.violates("deployment", "PolicyViolation")
		s.event("deployment", "PolicyViolation")
		require.NoError(t, owned("unknown", "Deployment", strings.Replace(authed, "oauth2-proxy", "nobody", 1)))
		s.measured("AuthorizerNotRegistered", 1)
	})

	t.Run("our own annotations forged", func(t *testing.T) {
		s := s.idea(t, "forged")
		s.enforce()
		forged := `extauth-guard.io/injected: '[{"rule":0,"authorizers":["oauth2-proxy"],"from":"APIRule"}]'`
		s.refused(s.create(s.annotated("web", forged, open)), "PolicyViolation")
		require.NoError(t, s.create(s.annotated("status", `extauth-guard.io/expose-status: exposed`, authed)), "written by us, never read")
		s.refused(s.create(s.annotated("web", `extauth-guard.io/allow-removal: oauth2-proxy`, authed)), "InvalidAnnotation")
		require.NoError(t, s.create(s.annotated("web", forged, authed)))
		service := s.At(kyma.Object(t, `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: forged}}`))
		_, err := service.Patch(t.Context(), "web", types.MergePatchType, []byte(`{"metadata":{"annotations":{"extauth-guard.io/expose-status":"exposed"}}}`), metav1.PatchOptions{})
		require.NoError(t, err, "written by us, never read")
		s.refused(s.merge("web", `{"spec":{"rules":`+openRules+`}}`), "PolicyViolation")
	})

	t.Run("service account names that look like Kyma's controller", func(t *testing.T) {
		s := s.idea(t, "accounts")
		s.enforce()
		as := func(user string) error {
			settings := rest.CopyConfig(s.Plane.Config())
			settings.WarningHandler = rest.NoWarnings{}
			settings.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
			client, err := dynamic.NewForConfig(settings)
			require.NoError(t, err)
			object := kyma.Object(t, s.apirule("web", open))
			resource := schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
			_, err = client.Resource(resource).Namespace(s.namespace).Create(t.Context(), object, metav1.CreateOptions{})
			return err
		}
		for _, user := range []string{
			"api-gateway-controller-manager",
			"kyma-system:api-gateway-controller-manager",
			"system:serviceaccount:accounts:api-gateway-controller-manager",
			"system:serviceaccount:kyma-system2:api-gateway-controller-manager",
			"system:serviceaccount:kyma-system:api-gateway-controller-manager2",
			"system:serviceaccount:kyma-system:Api-Gateway-Controller-Manager",
			"system:serviceaccount:kyma-system:api-gateway-controller-manager ",
			"system:serviceaccount:kyma-system:api\u2010gateway-controller-manager",
			"system:serviceaccount:kyma-system:default",
		} {
			s.refused(as(user), "PolicyViolation")
		}
		require.NoError(t, as("system:serviceaccount:kyma-system:api-gateway-controller-manager"), "whoever has its token is Kyma's controller")
		s.violates("web", "PolicyViolation")
	})

	t.Run("case and unicode tricks in names", func(t *testing.T) {
		s := s.idea(t, "unicode")
		s.enforce()
		for _, name := range []string{"OAuth2-Proxy", "oauth2-proxy ", " oauth2-proxy", "oauth2\u2010proxy", "\u043eauth2-proxy", "oauth2-proxy\u200b", "oauth2-proxy\u0000", "oauth2-proxy."} {
			object := kyma.Object(t, s.apirule("web", authed))
			rules := object.Object["spec"].(map[string]any)["rules"].([]any)
			rules[0].(map[string]any)["extAuth"].(map[string]any)["authorizers"] = []any{name}
			_, err := s.At(object).Create(t.Context(), object, metav1.CreateOptions{})
			s.refused(err, "AuthorizerNotRegistered")
		}
		for _, annotation := range []string{
			`extauth-guard.io/inject: "True"`, `extauth-guard.io/inject: " true"`, `extauth-guard.io/inject: "\uff54rue"`,
			`extauth-guard.io/authorizers: OAuth2-Proxy`, `extauth-guard.io/authorizers: "\u043eauth2-proxy"`, `extauth-guard.io/replace: noauth`,
			`extauth-guard.io/Inject: "true"`, `Extauth-Guard.io/inject: "true"`, `EXTAUTH-GUARD.IO/INJECT: "false"`,
		} {
			s.refused(s.create(s.annotated("web", annotation, authed)), "InvalidAnnotation")
		}
		for _, refused := range []string{
			s.annotated("web", `"extauth-guard.io/\u0456nject": "true"`, authed),
			s.annotated("web", `"extauth\u2010guard.io/inject": "true"`, authed),
			strings.Replace(s.apirule("web", authed), "hosts: [web]", "hosts: [WEB]", 1),
			strings.Replace(s.apirule("web", authed), "hosts: [web]", `hosts: ["web.kyma.example.com."]`, 1),
			strings.Replace(s.apirule("web", authed), "hosts: [web]", `hosts: ["w\u0435b"]`, 1),
		} {
			err := s.create(refused) // the API server has a say before us
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "denied the request")
		}
	})

	t.Run("a huge object", func(t *testing.T) {
		s := s.idea(t, "huge")
		s.enforce()
		filled := func(name, with string, bytes int, rule string) string {
			filler := fmt.Sprintf(`{path: /filler, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}, request: {headers: {x-filler: %q}}}`, strings.Repeat(with, bytes/len(with)))
			return s.apirule(name, filler+", "+rule)
		}
		const nearLimit = 1_400_000 // etcd takes 1.5 MiB
		s.refused(s.create(filled("web", "x", nearLimit, open)), "PolicyViolation")
		require.NoError(t, s.create(filled("web", "x", nearLimit, authed)))
		_, err := s.APIRules(s.namespace).Patch(t.Context(), "web", types.JSONPatchType,
			[]byte(`[{"op":"remove","path":"/spec/rules/1/extAuth"},{"op":"add","path":"/spec/rules/1/noAuth","value":true}]`), metav1.PatchOptions{})
		s.refused(err, "PolicyViolation")
		// In JSON a "<" takes six bytes, so that the review is larger than what
		// the webhook reads. It then answers with an error, and the API server
		// refuses, because the webhook fails closed.
		require.NoError(t, s.create(s.apirule("escaped", authed)))
		err = s.merge("escaped", `{"spec":{"rules":[{"path":"/*","methods":["GET"],"noAuth":true,"request":{"headers":{"x-filler":"`+strings.Repeat("<", nearLimit)+`"}}}]}}`)
		require.ErrorContains(t, err, "failed calling webhook")
	})

	t.Run("10,000 rules", func(t *testing.T) {
		s := s.idea(t, "rules")
		s.enforce()
		many := make([]string, 10_000)
		for i := range many {
			many[i] = fmt.Sprintf(`{path: /p/%d, methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}`, i)
		}
		protected := strings.Join(many, ", ")
		many[len(many)-1] = open
		s.refused(s.create(s.apirule("web", strings.Join(many, ", "))), "PolicyViolation")
		require.NoError(t, s.create(s.apirule("web", protected)))
		s.counts(1, 0, 0)
	})
}
