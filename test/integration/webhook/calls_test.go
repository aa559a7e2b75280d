// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/dynamic"
)

// testCalls proves by the API server's own count which requests cost a call of
// which webhook.
func (s *stage) testCalls(t *testing.T) {
	const (
		mutate            = "mutate.apirule.extauth-guard.io"
		validate          = "validate.apirule.extauth-guard.io"
		validateIstio     = "validate.istio.extauth-guard.io"
		validateService   = "validate.service.extauth-guard.io"
		validateNamespace = "validate.namespace.extauth-guard.io"
	)
	namespace := s.namespace(t)
	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "open", "", `{path: /, methods: [GET], noAuth: true}`))
	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "protected", "", extAuth("oauth2-proxy")))
	merge := func(client dynamic.ResourceInterface, name, patch string, sub ...string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			_, err := client.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, sub...)
			require.NoError(t, err)
		}
	}
	kyma := s.plane.AsServiceAccount("kyma-system", "api-gateway-controller-manager")
	kyma.Impersonate.Groups = append(kyma.Impersonate.Groups, "system:masters")
	asKyma, err := dynamic.NewForConfig(kyma)
	require.NoError(t, err)
	apirules, web := s.apiRules("v2", namespace), s.dynamic.Resource(services()).Namespace(namespace)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

	s.create(t, apiRuleResource(), namespace, apiRule("v2", namespace, "leaving", "", `{path: /, methods: [GET], noAuth: true}`))
	merge(apirules, "leaving", `{"metadata":{"finalizers":["`+finalizer+`"]}}`)(t)
	require.NoError(t, apirules.Delete(t.Context(), "leaving", metav1.DeleteOptions{}))

	cases := []struct {
		name string
		do   func(t *testing.T)
		want map[string]int
	}{
		{"a label", merge(apirules, "open", `{"metadata":{"labels":{"a":"b"}}}`), nil},
		{"a finalizer", merge(apirules, "open", `{"metadata":{"finalizers":["example.com/a"]}}`), nil},
		{"no finalizer", merge(apirules, "open", `{"metadata":{"finalizers":null}}`), nil},
		{"somebody's annotation", merge(apirules, "open", `{"metadata":{"annotations":{"example.com/a":"b"}}}`), nil},
		{"the status", merge(apirules, "open", `{"status":{"state":"Ready","lastProcessedTime":"2026-08-21T10:00:00Z"}}`, "status"), nil},
		{"the spec, by Kyma's controller", merge(asKyma.Resource(apiRuleResource()).Namespace(namespace), "open", `{"spec":{"hosts":["kyma"]}}`), nil},
		{"the spec", merge(apirules, "open", `{"spec":{"hosts":["other"]}}`), map[string]int{mutate: 1, validate: 1}},
		{"the spec, all rules with authorizers", merge(apirules, "protected", `{"spec":{"hosts":["third"]}}`), map[string]int{validate: 1}},
		{"our annotation, added", merge(apirules, "protected", `{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}}}`), map[string]int{validate: 1}},
		{"our annotation, removed", merge(apirules, "protected", `{"metadata":{"annotations":{"extauth-guard.io/inject":null}}}`), map[string]int{validate: 1}},
		{"a label of a Service", merge(web, "web", `{"metadata":{"labels":{"a":"b"}}}`), nil},
		{"our annotation on a Service", merge(web, "web", `{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}}}`), map[string]int{validateService: 1}},
		{"another label of that Service", merge(web, "web", `{"metadata":{"labels":{"a":"c"}}}`), nil},
		{"our annotation on a Namespace", merge(s.dynamic.Resource(namespaces()), namespace, `{"metadata":{"annotations":{"extauth-guard.io/inject":"true"}}}`), map[string]int{validateNamespace: 1}},
		{"a label of that Namespace", merge(s.dynamic.Resource(namespaces()), namespace, `{"metadata":{"labels":{"a":"b"}}}`), nil},
		{"a label of the Istio CR", merge(s.istios(), "default", `{"metadata":{"labels":{"a":"b"}}}`), nil},
		{"the rest of the Istio CR", merge(s.istios(), "default", `{"spec":{"config":{"numTrustedProxies":2}}}`), nil},
		{"an APIRule of the system", func(t *testing.T) {
			t.Helper()
			_, err := s.apiRules("v2", "kyma-system").Create(t.Context(), object(t, apiRule("v2", "kyma-system", "web", "", jwt)), dry)
			require.NoError(t, err)
		}, nil},
		{"an APIRule as v1beta1", func(t *testing.T) {
			t.Helper()
			_, err := s.apiRules("v1beta1", namespace).Create(t.Context(), object(t, `{apiVersion: gateway.kyma-project.io/v1beta1, kind: APIRule, metadata: {name: old},
				spec: {gateway: n/a, host: host, rules: [{path: "/*", methods: [GET], accessStrategies: [{handler: noop}]}]}}`), dry)
			require.NoError(t, err)
		}, nil},
		{"deleting an APIRule", func(t *testing.T) {
			t.Helper()
			require.NoError(t, apirules.Delete(t.Context(), "open", metav1.DeleteOptions{}))
		}, nil},
		{"the spec, while it is being deleted", merge(apirules, "leaving", `{"spec":{"hosts":["other"]}}`), nil},
		{"the last finalizer", merge(apirules, "leaving", `{"metadata":{"finalizers":null}}`), nil},
		{"an annotation of the Istio CR", merge(s.istios(), "default", `{"metadata":{"annotations":{"somebody.example/else":"x"}}}`), nil},
		{"our annotation of the Istio CR", merge(s.istios(), "default", `{"metadata":{"annotations":{"extauth-guard.io/allow-removal":null}}}`), map[string]int{validateIstio: 1}},
		{"the authorizers of the Istio CR", merge(s.istios(), "default", `{"spec":{"config":{"authorizers":null}}}`), map[string]int{validateIstio: 1}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want[validateIstio] > 0 {
				merge(s.istios(), "default", allowRemovals())(t)
				t.Cleanup(func() { s.resetIstio(t) })
			}
			before := s.calls(t)
			tc.do(t)
			got := s.calls(t)
			maps.DeleteFunc(got, func(name string, count int) bool {
				got[name] = count - before[name]
				return got[name] == 0
			})
			if tc.want == nil {
				tc.want = map[string]int{}
			}
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}

	t.Run("the audit log has the codes", func(t *testing.T) {
		_, err := s.apiRules("v2", namespace).Create(t.Context(), object(t, apiRule("v2", namespace, "audited", "", extAuth("nobody"))), metav1.CreateOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		require.Eventually(t, func() bool {
			for _, event := range s.events(t) {
				if event.ObjectRef != nil && event.ObjectRef.Name == "audited" {
					return event.Annotations[validate+"/codes"] == "AuthorizerConflict,AuthorizerNotRegistered"
				}
			}
			return false
		}, patience, often)
	})
}

// calls returns how often the API server has called each webhook.
func (s *stage) calls(t *testing.T) map[string]int {
	t.Helper()
	raw, err := s.typed.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	require.NoError(t, err)
	calls := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		labels, found := strings.CutPrefix(line, "apiserver_admission_webhook_request_total{")
		if !found {
			continue
		}
		labels, value, _ := strings.Cut(strings.TrimSpace(labels), "} ")
		_, name, _ := strings.Cut(labels, `name="`)
		name, _, _ = strings.Cut(name, `"`)
		count, err := strconv.Atoi(value)
		require.NoError(t, err)
		calls[name] += count
	}
	return calls
}

// events returns what the audit log has so far.
func (s *stage) events(t *testing.T) []auditv1.Event {
	t.Helper()
	raw, err := os.ReadFile(s.auditLog)
	require.NoError(t, err)
	var events []auditv1.Event
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		if json.Unmarshal(lines.Bytes(), &event) == nil { // the last line may be half written
			events = append(events, event)
		}
	}
	return events
}

// testPermissions looks at all that the server asked for during the tests: a
// request that was forbidden means that the role is too small, and a write that
// the server writes.
func (s *stage) testPermissions(t *testing.T) {
	asked := map[string]bool{}
	for _, event := range s.events(t) {
		if event.ImpersonatedUser == nil || event.ImpersonatedUser.Username != "system:serviceaccount:extauth-guard:extauth-guard" {
			continue
		}
		if event.ResponseStatus != nil {
			assert.NotEqual(t, int32(403), event.ResponseStatus.Code, "%s %s", event.Verb, event.RequestURI)
		}
		asked[event.Verb] = true
	}
	assert.True(t, asked["list"], "nothing was seen")
	delete(asked, "get")
	delete(asked, "list")
	delete(asked, "watch") // logged when it ends
	assert.Empty(t, asked)
}
