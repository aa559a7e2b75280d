// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/migrate"
	"github.com/extauth-guard/extauth-guard/test/checkout"
)

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	objects, err := manifest.Document{Text: []byte(text), Line: 1}.Parse()
	require.NoError(t, err)
	require.Len(t, objects, 1)
	return objects[0].Value
}

func options() migrate.Options {
	return migrate.Options{
		Gateway: "kyma-system/kyma-gateway",
		Port: func(_, service, port string) (int64, bool) {
			return 8080, service == "cart" && port == "http"
		},
	}
}

func TestMigrate(t *testing.T) {
	cases := map[string]struct {
		source string
		want   string // YAML of all APIRules
		// wantNotes are the path and the beginning of the text of each note.
		wantNotes []string
	}{
		"every handler of v1beta1": {
			source: `apiVersion: gateway.kyma-project.io/v1beta1
kind: APIRule
metadata:
  name: httpbin
  namespace: test
  labels: {team: a}
  annotations: {mine: stays, gateway.kyma-project.io/original-version: v1beta1}
spec:
  gateway: kyma-gateway.kyma-system.svc.cluster.local
  host: httpbin
  timeout: 60
  corsPolicy: {maxAge: 10m, allowMethods: [GET]}
  service: {name: httpbin, namespace: test, port: 8000}
  rules:
  - {path: /a, methods: [POST], accessStrategies: [{handler: noop}]}
  - {path: /b/.*, methods: [GET], accessStrategies: [{handler: allow}], mutators: [{handler: header, config: {headers: {x: y}}}, {handler: hydrator}]}
  - {path: /c.*, methods: [GET], accessStrategies: [{handler: no_auth}, {handler: jwt, config: {trusted_issuers: [https://i], jwks_urls: [https://j], required_scope: [s], target_audience: [u]}}]}
  - {path: /d, methods: [GET], accessStrategies: [{handler: jwt, config: {authentications: [{issuer: https://i, jwksUri: https://j}, xxx]}}]}
  - {path: /k, methods: [GET], accessStrategies: [{handler: jwt, config: {authentications: [xxx]}}]}
  - {path: /e, methods: [GET], accessStrategies: [{handler: oauth2_introspection, config: {required_scope: [read], token_from: {header: x}}}]}
  - {path: /f, methods: [GET], accessStrategies: [{handler: cookie_session}]}
  - {path: /g, methods: [GET], accessStrategies: [{handler: unauthorized}]}
  - {path: "/(h|i)", methods: [GET], accessStrategies: [{handler: allow}]}
  - {path: /j, methods: [GET], accessStrategies: [{handler: jwt, config: {trusted_issuers: [https://i]}}]}
  - {path: /.*, methods: [GET], service: {name: other, port: 1}, accessStrategies: [{handler: oauth2_introspection}]}
`,
			want: `- apiVersion: gateway.kyma-project.io/v2
  kind: APIRule
  metadata:
    name: httpbin
    namespace: test
    labels: {team: a}
    annotations: {mine: stays, extauth-guard.io/inject: "true"}
  spec:
    gateway: kyma-system/kyma-gateway
    hosts: [httpbin]
    timeout: 60
    corsPolicy: {maxAge: 600, allowMethods: [GET]}
    service: {name: httpbin, namespace: test, port: 8000}
    rules:
    - {path: /a, methods: [POST], noAuth: true}
    - {path: "/b/{**}", methods: [GET], noAuth: true, request: {headers: {x: y}}}
    - {path: "/c/{**}", methods: [GET], jwt: {authentications: [{issuer: https://i, jwksUri: https://j}], authorizations: [{requiredScopes: [s], audiences: [u]}]}}
    - {path: /d, methods: [GET], jwt: {authentications: [{issuer: https://i, jwksUri: https://j}]}}
    - {path: /e, methods: [GET]}
    - {path: /f, methods: [GET]}
    - {path: /*, methods: [GET], service: {name: other, port: 1}}
`,
			wantNotes: []string{
				"spec.rules[1].mutators[1]: the mutator \"hydrator\"",
				"spec.rules[2].path: \"/c.*\" became \"/c/{**}\"",
				"spec.rules[2].accessStrategies: a rule of v2 has one",
				"spec.rules[3].accessStrategies[0].config.authentications[1]: xxx is no object",
				"spec.rules[4].accessStrategies[0].config.authentications[0]: xxx is no object",
				"spec.rules[4].accessStrategies[0].config: no entry of jwt.authentications",
				"spec.rules[5].accessStrategies[0].config.token_from: is not carried over",
				"spec.rules[5].accessStrategies[0].config.required_scope: scopes read are not checked",
				"spec.rules[6].accessStrategies[0]: the handler \"cookie_session\"",
				"spec.rules[7].accessStrategies[0]: the handler \"unauthorized\" refuses everybody",
				"spec.rules[8].path: the regular expression \"/(h|i)\"",
				"spec.rules[9].accessStrategies[0].config: 1 trusted_issuers and 0 jwks_urls",
			},
		},
		"nothing to inject, no annotation": {
			source: `{apiVersion: gateway.kyma-project.io/v1beta1, kind: APIRule, metadata: {name: a}, spec: {host: a, gateway: b/c, rules: [{path: /, methods: [GET], accessStrategies: [{handler: allow}]}]}}`,
			want:   `[{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: a}, spec: {hosts: [a], gateway: b/c, rules: [{path: /, methods: [GET], noAuth: true}]}}]`,
		},
		"an Ingress of ingress-nginx": {
			source: `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/auth-url: https://auth.example.com/oauth2/auth
    nginx.ingress.kubernetes.io/auth-signin: https://auth.example.com/oauth2/start
    nginx.ingress.kubernetes.io/proxy-body-size: 8m
    mine: stays
spec:
  tls: [{hosts: [shop.example.com]}]
  rules:
  - host: shop.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: front, port: {number: 80}}}}
      - {path: /cart/, pathType: Prefix, backend: {service: {name: cart, port: {name: http}}}}
      - {path: /cart/health, pathType: Exact, backend: {service: {name: cart, port: {name: metrics}}}}
      - {path: /login, pathType: Exact, backend: {service: {name: front, port: {number: 80}}}}
  - host: "*.example.com"
    http: {paths: [{path: "/a(/|$)(.*)", pathType: ImplementationSpecific, backend: {service: {name: x, port: {number: 1}}}}, {path: /b, pathType: Prefix, backend: {service: {name: x, port: {number: 1}}}}]}
  - http: {paths: []}
`,
			want: `- apiVersion: gateway.kyma-project.io/v2
  kind: APIRule
  metadata: {name: shop, namespace: shop, annotations: {mine: stays, extauth-guard.io/inject: "true"}}
  spec:
    hosts: [shop.example.com]
    gateway: kyma-system/kyma-gateway
    rules:
    - {path: /login, methods: &all [GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH], service: {name: front, port: 80}}
    - {path: /cart, methods: *all, service: {name: cart, port: 8080}}
    - {path: "/cart/{**}", methods: *all, service: {name: cart, port: 8080}}
    - {path: /*, methods: *all, service: {name: front, port: 80}}
- apiVersion: gateway.kyma-project.io/v2
  kind: APIRule
  metadata: {name: shop-1, namespace: shop, annotations: {mine: stays, extauth-guard.io/inject: "true"}}
  spec:
    hosts: ["*.example.com"]
    gateway: kyma-system/kyma-gateway
    rules:
    - {path: /b, methods: *all, service: {name: x, port: 1}}
    - {path: "/b/{**}", methods: *all, service: {name: x, port: 1}}
`,
			wantNotes: []string{
				"metadata.annotations[nginx.ingress.kubernetes.io/auth-signin]: whether users",
				"metadata.annotations[nginx.ingress.kubernetes.io/auth-url]: https://auth.example.com/oauth2/auth is asked no longer",
				"metadata.annotations[nginx.ingress.kubernetes.io/proxy-body-size]: is not carried over",
				"spec.tls: certificates",
				"spec.rules[0].http.paths[2].backend.service.port: the number of the port \"metrics\"",
				"spec.rules[1].http.paths[0].path: \"/a(/|$)(.*)\" has no form",
				"spec.rules[2].host: \"\" is no host",
			},
		},
		"an Ingress without external authorizer": {
			source:    `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.example.com}]}}`,
			want:      "[]",
			wantNotes: []string{"metadata.annotations: there is no"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			source := object(t, tc.source)
			result, known := migrate.Object(source, options())
			require.True(t, known)
			assert.Equal(t, object(t, tc.source), source, "the source is not changed")
			assert.Empty(t, cmp.Diff(normal(t, tc.want), normal(t, marshal(t, result.APIRules))), "(-want +got)")
			require.Len(t, result.Notes, len(tc.wantNotes))
			for i, note := range result.Notes {
				assert.True(t, strings.HasPrefix(note.Path+": "+note.Text, tc.wantNotes[i]), "%s: %s\nwant %s", note.Path, note.Text, tc.wantNotes[i])
			}
		})
	}
}

func marshal(t *testing.T, objects []map[string]any) string {
	t.Helper()
	if objects == nil {
		return "[]"
	}
	raw, err := yaml.Marshal(objects)
	require.NoError(t, err)
	return string(raw)
}

func normal(t *testing.T, text string) any {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	return value
}

func TestOtherObjectsAreNotMigrated(t *testing.T) {
	for _, source := range []string{
		"{apiVersion: gateway.kyma-project.io/v2, kind: APIRule}", "{apiVersion: v1, kind: Service}", "{kind: Ingress}", "{}",
	} {
		_, known := migrate.Object(object(t, source), options())
		assert.False(t, known, source)
	}
}

// Whatever a migration leaves open was open before.
func FuzzNothingIsMoreOpen(f *testing.F) {
	f.Add("jwt", "allow", "/.*")
	f.Add("unauthorized", "", "/a")
	f.Fuzz(func(t *testing.T, first, second, path string) {
		result, _ := migrate.Object(map[string]any{
			"apiVersion": "gateway.kyma-project.io/v1beta1", "kind": "APIRule",
			"spec": map[string]any{"rules": []any{map[string]any{"path": path, "accessStrategies": []any{
				map[string]any{"handler": first}, map[string]any{"handler": second},
			}}}},
		}, options())
		open := func(handler string) bool { return handler == "allow" || handler == "noop" || handler == "no_auth" }
		for _, one := range result.APIRules {
			for _, rule := range apirule.Parse(one, "").Rules {
				if rule.Strategy == apirule.NoAuth {
					assert.True(t, open(first) && open(second))
				}
			}
		}
	})
}

// Kyma's documentation has what users migrate from.
func TestCorpusMigrates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "corpus"), "*.yaml"))
	require.NoError(t, err)
	migrated := 0
	for _, file := range files {
		raw, err := os.Open(file)
		require.NoError(t, err)
		for document, err := range manifest.Split(raw) {
			require.NoError(t, err)
			objects, err := document.Parse()
			if err != nil {
				continue
			}
			for _, one := range objects {
				result, known := migrate.Object(one.Value, options())
				if !known {
					continue
				}
				migrated++
				for _, after := range result.APIRules {
					view := apirule.Parse(after, "")
					assert.Len(t, view.Hosts, 1, file)
					assert.NotEmpty(t, view.Rules, file)
				}
			}
		}
		require.NoError(t, raw.Close())
	}
	assert.GreaterOrEqual(t, migrated, 3)
}
