// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// legacy is an APIRule v1beta1 as "kubectl get -o yaml" prints it, in a list, with
// one rule.
func legacy(path, strategies string) string {
	return `apiVersion: v1
kind: List
items:
- apiVersion: gateway.kyma-project.io/v1beta1
  kind: APIRule
  metadata:
    name: httpbin
    namespace: old
    uid: 7f1b3c1e-0000-4000-8000-000000000000
    resourceVersion: "1"
    generation: 3
    creationTimestamp: "2024-01-01T00:00:00Z"
    finalizers: [gateway.kyma-project.io/subresources]
    annotations:
      gateway.kyma-project.io/original-version: v1beta1
      kubectl.kubernetes.io/last-applied-configuration: "{}"
  spec:
    gateway: kyma-gateway.kyma-system.svc.cluster.local
    host: httpbin.example.com
    service: {name: httpbin, namespace: old, port: 8000}
    timeout: 60
    corsPolicy: {allowOrigins: [{exact: "https://shop.example.com"}], allowMethods: [GET], maxAge: 10m}
    rules:
    - path: ` + path + `
      methods: [GET, POST, OPTIONS]
      accessStrategies: ` + strategies + `
  status: {APIRuleStatus: {code: OK}}
`
}

const ingress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: old
  annotations:
    nginx.ingress.kubernetes.io/auth-url: https://auth.example.com/oauth2/auth
    nginx.ingress.kubernetes.io/auth-signin: https://auth.example.com/oauth2/start?rd=$escaped_request_uri
    nginx.ingress.kubernetes.io/auth-response-headers: X-Auth-Request-User
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example.com], secretName: shop}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: httpbin, port: {name: http}}}}
      - {path: /api, pathType: Prefix, backend: {service: {name: httpbin, port: {number: 8000}}}}
      - {path: "/v(1|2)/.*", pathType: ImplementationSpecific, backend: {service: {name: httpbin, port: {number: 8000}}}}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: old}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000}]}
`

// testMigrate has the API server, with Kyma's rules and our webhooks, judge what
// migrate prints, word for word.
func testMigrate(t *testing.T, s stage) {
	for _, object := range parse(t, `apiVersion: v1
kind: Namespace
metadata: {name: old, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: old}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000}]}
`) {
		_, err := s.create(t.Context(), object)
		require.NoError(t, err)
	}
	for name, tc := range map[string]struct {
		source string
		args   []string
		// want are the path and the strategy of each rule as it is stored.
		want []string
		// wantNotes are parts of what is said not to be carried over.
		wantNotes []string
	}{
		"allow":   {source: legacy("/.*", "[{handler: allow}]"), want: []string{"/* noAuth"}, wantNotes: []string{"the handler allow let every method in; v2 refuses those that are not listed: HEAD, PUT, DELETE, PATCH"}},
		"noop":    {source: legacy("/.*", "[{handler: noop}]"), want: []string{"/* noAuth"}},
		"no_auth": {source: legacy("/img/.*", "[{handler: no_auth}]"), want: []string{"/img/{**} noAuth"}},
		"jwt in Istio's form": {
			source: legacy("/.*", "[{handler: jwt, config: {authentications: [{issuer: https://idp.example.com, jwksUri: https://idp.example.com/keys}], authorizations: [{requiredScopes: [read], audiences: [shop]}]}}]"),
			want:   []string{"/* jwt"},
		},
		"jwt in Ory's form": {
			source: legacy("/.*", "[{handler: jwt, config: {trusted_issuers: [https://idp.example.com], jwks_urls: [https://idp.example.com/keys], required_scope: [read]}}]"),
			want:   []string{"/* jwt"},
		},
		"oauth2_introspection": {
			source: legacy("/.*", "[{handler: oauth2_introspection, config: {required_scope: [read], introspection_url: https://idp.example.com/introspect}}]"),
			want:   []string{"/* extAuth oauth2-proxy"}, wantNotes: []string{"required_scope: scopes read are not checked", "introspection_url: is not carried over"},
		},
		"oauth2_introspection, to an authorizer by name": {
			source: legacy("/.*", "[{handler: oauth2_introspection}]"), args: []string{"--authorizers", "oauth2-proxy"},
			want: []string{"/* extAuth oauth2-proxy"},
		},
		"a handler that is not known": {
			source: legacy("/.*", "[{handler: cookie_session}]"), want: []string{"/* extAuth oauth2-proxy"}, wantNotes: []string{`the handler "cookie_session" has no form in v2`},
		},
		"an Ingress with auth-url and auth-signin": {
			source: ingress,
			want:   []string{"/api extAuth oauth2-proxy", "/api/{**} extAuth oauth2-proxy", "/* extAuth oauth2-proxy"},
			wantNotes: []string{
				`auth-url]: nothing calls "https://auth.example.com/oauth2/auth" any more`, "auth-signin]: the authorizer decides whether users are sent to a login page",
				"auth-response-headers]: the authorizer's entry in the Istio CR needs toUpstream.onAllow [x-auth-request-user]", "spec.tls: certificates belong to the Gateway", `"/v(1|2)/.*" has no form in v2`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := s.offline(t, tc.source, append([]string{"migrate", "-"}, tc.args...)...)
			require.Equal(t, 0, code, stderr)
			for _, want := range tc.wantNotes {
				assert.Contains(t, stderr, want)
				assert.Contains(t, stdout, want, "it is a comment above the result too")
			}
			assert.Equal(t, len(tc.wantNotes) > 0, stderr != "", "%s", stderr)
			objects := parse(t, stdout)
			require.Len(t, objects, 1)
			stored, err := s.create(t.Context(), objects[0], metav1.DryRunAll)
			require.NoError(t, err, stdout)
			var got []string
			for _, rule := range apirule.Parse(stored.Object, "").Rules {
				got = append(got, strings.TrimSpace(strings.Join(append([]string{rule.Path, string(rule.Strategy)}, rule.Authorizers...), " ")))
			}
			assert.Equal(t, tc.want, got)
			code, stdout, stderr = s.run(t, stdout, "lint", "-", "--live", "--strict")
			assert.Equal(t, 0, code, stdout+stderr)
		})
	}
	t.Run("Kyma's documentation", func(t *testing.T) { testMigrateCorpus(t, s) })
	t.Run("the shapes of testdata", func(t *testing.T) { testMigrateShapes(t, s) })
}

// testMigrateShapes does the same with every shape that the package is tested
// with, but those that have something for the user to fill in. The cluster registers
// one of the authorizers that the Ingresses asked.
func testMigrateShapes(t *testing.T, s stage) {
	unfinished := []string{"placeholder", "host-that-v2-refuses"}
	files, err := filepath.Glob(checkout.Path(t, "pkg/migrate/testdata/*/*.yaml"))
	require.NoError(t, err)
	migrated := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		_, stdout, stderr := s.offline(t, string(raw), "migrate", "-", "--partial", "--accept-more-open", "--authorizers", "oauth2-proxy")
		for _, object := range parse(t, stdout) {
			if slices.Contains(unfinished, object.GetName()) {
				continue
			}
			object.SetNamespace("old")
			_, err := s.create(t.Context(), object, metav1.DryRunAll)
			assert.NoError(t, err, "%s became\n%s\n%s", filepath.Base(file), stdout, stderr)
			migrated++
		}
	}
	assert.Greater(t, migrated, 50)
	t.Logf("%d migrated", migrated)
}

// testMigrateCorpus does the same with every APIRule v1beta1 of Kyma's
// documentation.
func testMigrateCorpus(t *testing.T, s stage) {
	files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "corpus"), "*.yaml"))
	require.NoError(t, err)
	migrated := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		code, stdout, stderr := s.offline(t, string(raw), "migrate", "-")
		if code != 0 {
			assert.NotContains(t, stderr, "panic")
			continue
		}
		for _, object := range parse(t, stdout) {
			object.SetNamespace("old")
			_, err := s.create(t.Context(), object, metav1.DryRunAll)
			assert.NoError(t, err, "%s became\n%s", filepath.Base(file), stdout)
			migrated++
		}
	}
	assert.Positive(t, migrated)
	t.Logf("%d migrated", migrated)
}
