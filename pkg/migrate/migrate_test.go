// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate_test

import (
	"fmt"
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
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

func objects(t *testing.T, text string) []map[string]any {
	t.Helper()
	var values []map[string]any
	for document, err := range manifest.Split(strings.NewReader(text)) {
		require.NoError(t, err)
		parsed, err := document.Parse()
		require.NoError(t, err)
		for _, object := range parsed {
			values = append(values, object.Value)
		}
	}
	return values
}

// legacy is an APIRule v1beta1 with rules, given as the inside of a list in braces.
func legacy(rules string) string {
	return "{apiVersion: gateway.kyma-project.io/v1beta1, kind: APIRule, metadata: {name: a, namespace: ns}, " +
		"spec: {host: a.example.com, gateway: k/g, corsPolicy: {allowMethods: [GET]}, service: {name: s, port: 80}, rules: [" + rules + "]}}"
}

const jwt = "accessStrategies: [{handler: jwt, config: {trusted_issuers: [https://i.example.com], jwks_urls: [https://i.example.com/keys]}}]"

func handler(name string) string { return "accessStrategies: [{handler: " + name + "}]" }

// summary writes each rule of the APIRules as one line.
func summary(outcome migrate.Outcome) string {
	var lines []string
	for _, result := range outcome.Results {
		if result.APIRule == nil {
			continue
		}
		for _, rule := range apirule.Parse(result.APIRule, "").Rules {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", strings.Join(rule.Methods, ","), rule.Path, rule.Strategy)))
		}
	}
	return strings.Join(lines, "\n")
}

// What was open stays open, what was protected stays protected, and what was
// neither is not let in, whatever stands before or behind it.
func TestRulesAreMigratedAsAWhole(t *testing.T) {
	cases := map[string]struct {
		rules string
		// want are the rules of v2, "" if the APIRule is refused; partial is what
		// remains if the user insists, "" for the same.
		want, partial string
		// says is part of a note.
		says string
	}{
		"a protected path in front of an open one": {
			"{path: /admin/.*, methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"GET /admin/{**} jwt\nGET /* noAuth", "", "",
		},
		"a protected path whose regular expression has no form": {
			"{path: '/v[0-9]+/.*', methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /*", "GET /v0/ needed credentials (spec.rules[0]) and would be open to everybody",
		},
		"a refused path in front of an open one": {
			"{path: /admin/.*, methods: [GET], " + handler("unauthorized") + "}, {path: /.*, methods: [GET], " + handler("noop") + "}",
			"", "GET /admin/{**}\nGET /* noAuth", "GET /admin/ was refused to everybody (spec.rules[0]) and would be open to everybody",
		},
		"a refused path in front of a protected one": {
			"{path: /admin/.*, methods: [GET], " + handler("unauthorized") + "}, {path: /.*, methods: [GET], " + handler("oauth2_introspection") + "}",
			"", "GET /*", "GET /admin/ was refused to everybody (spec.rules[0]) and would be left to the authorizer",
		},
		"a refused path with nothing behind it": {
			"{path: /admin/.*, methods: [GET], " + handler("unauthorized") + "}, {path: /a, methods: [GET], " + handler("noop") + "}",
			"GET /a noAuth", "", "",
		},
		"a protected path that became narrower": {
			"{path: /admin.*, methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /admin jwt\nGET /admin/{**} jwt\nGET /*", "GET /adminx needed credentials",
		},
		"tokens of one issuer in front of those of another": {
			"{path: '/a.*', methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + strings.ReplaceAll(jwt, "i.example", "j.example") + "}",
			"", "GET /a jwt\nGET /a/{**} jwt", "GET /ax needed credentials (spec.rules[0]) and would accept a token of another jwt",
		},
		"an open path that became narrower": {
			"{path: /img.*, methods: [GET], " + handler("no_auth") + "}",
			"GET /img noAuth\nGET /img/{**} noAuth", "", `"/img.*" became "/img" and "/img/{**}"`,
		},
		"an open path without form": {
			"{path: '/[a-z]+', methods: [GET], " + handler("no_auth") + "}, {path: /a/b, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /a/b noAuth", `"/[a-z]+" has no form in v2`,
		},
		"the root before everything else, of which Kyma cannot except it": {
			"{path: /, methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET / jwt\nGET /*", "GET / needed credentials (spec.rules[0]) and would be open to everybody",
		},
		"the open root before the authorizer": {
			"{path: /, methods: [GET], " + handler("no_auth") + "}, {path: /.*, methods: [GET], " + handler("oauth2_introspection") + "}",
			"GET / noAuth\nGET /*", "", "GET / was let in by this rule and is not any more",
		},
		"the open root of another Service before the authorizer": {
			"{path: /, methods: [GET], service: {name: start, port: 1}, " + handler("no_auth") + "}, {path: /.*, methods: [GET], " + handler("oauth2_introspection") + "}",
			"GET / noAuth\nGET /*", "", "",
		},
		"methods that an earlier path lacks": {
			"{path: /orders/.*, methods: [GET], " + handler("noop") + "}, {path: /.*, methods: [GET, POST], " + handler("oauth2_introspection") + "}",
			"GET /orders/{**} noAuth\nGET /*\nPOST /*", "", "",
		},
		"methods that Oathkeeper did not answer": {
			"{path: /orders/.*, methods: [POST], " + jwt + "}, {path: /.*, methods: [GET, POST], " + handler("no_auth") + "}",
			"POST /orders/{**} jwt\nGET /orders/{**} jwt\nGET,POST /* noAuth", "POST /orders/{**} jwt\nGET /orders/{**}\nGET,POST /* noAuth", "Oathkeeper had no rule for GET requests to this path",
		},
		"an open path that Oathkeeper never led to": {
			"{path: /.*, methods: [POST], " + jwt + "}, {path: /health, methods: [GET], " + handler("no_auth") + "}",
			"POST /* jwt", "", "sent some of these requests to Oathkeeper, which had no rule for them",
		},
		"a rule that another one hides": {
			"{path: /.*, methods: [GET], " + handler("allow") + "}, {path: /admin/.*, methods: [GET], " + jwt + "}",
			"GET /* noAuth", "", "an earlier rule matches every request of this one",
		},
		"two rules of Oathkeeper for one request": {
			"{path: /.*, methods: [GET], " + handler("noop") + "}, {path: /admin/.*, methods: [GET], " + handler("oauth2_introspection") + "}",
			"", "GET /*", "GET /admin/ was not served and would be open to everybody",
		},
		"paths that Kyma takes for a conflict": {
			"{path: '/users/[^/]+', methods: [GET], " + jwt + "}, {path: /users/.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /users/{*} jwt", "v2 refuses the path /users/{**} behind /users/{*} of spec.rules[0]",
		},
		"an operator in the middle, of which it is not certain what it matches": {
			"{path: /a/.*/b, methods: [GET], " + jwt + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /a/{**}/b jwt\nGET /*", "GET /a//b needed credentials (spec.rules[0]) and would be open to everybody",
		},
		"an open path that would reach another Service": {
			"{path: /old.*, methods: [GET], service: {name: old, port: 1}, " + handler("no_auth") + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /old noAuth\nGET /old/{**} noAuth\nGET /*", "GET /oldx would reach the Service ns/s instead of ns/old",
		},
		"a protected path that would reach another Service": {
			"{path: /old.*, methods: [GET], service: {name: old, port: 1}, " + handler("oauth2_introspection") + "}, {path: /.*, methods: [GET], " + handler("oauth2_introspection") + "}",
			"GET /old\nGET /old/{**}\nGET /*", "", `"/old.*" became`,
		},
		"a glob that protects": {"{path: /*, methods: [GET], " + jwt + "}", "GET /* jwt", "", ""},
		"a glob that is open":  {"{path: /*, methods: [GET], " + handler("no_auth") + "}", "GET / noAuth", "", "matches nothing below"},
		"a jwt without issuer": {
			"{path: /.*, methods: [GET], accessStrategies: [{handler: jwt, config: {jwks_urls: [https://i/keys]}}]}",
			"", "GET /*", "v2 needs the issuer of the tokens",
		},
		"an unreadable expression in front of an open path": {
			"{path: '/(?!admin).*', methods: [GET], " + handler("no_auth") + "}, {path: /.*, methods: [GET], " + handler("no_auth") + "}",
			"", "GET /*", "has no form in v2",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			source := objects(t, legacy(tc.rules))
			outcome := migrate.Objects(source, migrate.Options{})
			assert.Equal(t, tc.want, summary(outcome))
			assert.Equal(t, tc.want == "", outcome.Results[0].Has(migrate.Refused))
			assert.Equal(t, objects(t, legacy(tc.rules)), source, "the source is not changed")
			notes := said(outcome)
			assert.Contains(t, notes, tc.says)
			if tc.says == "" {
				assert.NotRegexp(t, `(?m)^spec\.rules`, notes, "nothing is lost")
			}
			if tc.partial == "" {
				tc.partial = tc.want
			}
			outcome = migrate.Objects(source, migrate.Options{Partial: true})
			assert.Equal(t, tc.partial, summary(outcome), "%s", said(outcome))
		})
	}
}

func said(outcome migrate.Outcome) string {
	var notes strings.Builder
	for _, result := range outcome.Results {
		for _, note := range result.Notes {
			notes.WriteString(note.Path + ": " + note.Text + "\n")
		}
	}
	return notes.String()
}

func TestEveryHandlerOfV1beta1(t *testing.T) {
	outcome := migrate.Objects(objects(t, `apiVersion: gateway.kyma-project.io/v1beta1
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
  - {path: /b/.*, methods: [GET], accessStrategies: [{handler: noop}], mutators: [{handler: header, config: {headers: {x: z}}}, {handler: hydrator}]}
  - {path: /c/.*, methods: [GET], accessStrategies: [{handler: no_auth}, {handler: jwt, config: {trusted_issuers: [https://i], jwks_urls: [https://j], required_scope: [s], target_audience: [u]}}]}
  - {path: /d, methods: [GET], accessStrategies: [{handler: jwt, config: {authentications: [{issuer: https://i, jwksUri: https://j}], authorizations: []}}]}
  - {path: /e, methods: [GET], accessStrategies: [{handler: oauth2_introspection, config: {required_scope: [read], token_from: {header: x}}}]}
  - {path: /f, methods: [GET], accessStrategies: [{handler: cookie_session}]}
  - {path: /g, methods: [GET], accessStrategies: [{handler: unauthorized}]}
  - {path: "/(h|i)", methods: [GET], accessStrategies: [{handler: no_auth}]}
  - {path: /j/.*, methods: [GET], service: {name: other, port: 1}, accessStrategies: [{handler: oauth2_introspection}]}
`), migrate.Options{Authorizers: []string{"corp"}})
	want := `apiVersion: gateway.kyma-project.io/v2
kind: APIRule
metadata:
  name: httpbin
  namespace: test
  labels: {team: a}
  annotations: {mine: stays, extauth-guard.io/authorizers: corp}
spec:
  gateway: kyma-system/kyma-gateway
  hosts: [httpbin]
  timeout: 60
  corsPolicy: {maxAge: 600, allowMethods: [GET]}
  service: {name: httpbin, namespace: test, port: 8000}
  rules:
  - {path: /a, methods: [POST], noAuth: true}
  - {path: "/b/{**}", methods: [GET], noAuth: true, request: {headers: {x: z}}}
  - {path: "/c/{**}", methods: [GET], jwt: {authentications: [{issuer: https://i, jwksUri: https://j}], authorizations: [{requiredScopes: [s], audiences: [u]}]}}
  - {path: /d, methods: [GET], jwt: {authentications: [{issuer: https://i, jwksUri: https://j}]}}
  - {path: /e, methods: [GET]}
  - {path: /f, methods: [GET]}
  - {path: /h, methods: [GET], noAuth: true}
  - {path: /i, methods: [GET], noAuth: true}
  - {path: "/j/{**}", methods: [GET], service: {name: other, port: 1}}
`
	require.Len(t, outcome.Results, 1)
	assert.Empty(t, cmp.Diff(normal(t, want), normal(t, marshal(t, outcome.Results[0].APIRule))), "(-want +got)")
	var got []string
	for _, note := range outcome.Results[0].Notes {
		got = append(got, note.Path)
		assert.Equal(t, migrate.Lost, note.Kind, note.Text)
	}
	assert.Equal(t, []string{
		"spec.rules[1].mutators[1]",
		"spec.rules[2].accessStrategies",
		"spec.rules[4].accessStrategies[0].config.token_from",
		"spec.rules[4].accessStrategies[0].config.required_scope",
		"spec.rules[5].accessStrategies[0]",
		"spec.corsPolicy",
	}, got)
}

func marshal(t *testing.T, value any) string {
	t.Helper()
	raw, err := yaml.Marshal(value)
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
	for _, source := range []string{"{apiVersion: v1, kind: Service}", "{kind: Ingress}", "{kind: APIRule}", "{}", "{apiVersion: other.example.com/v1beta1, kind: APIRule}"} {
		assert.Empty(t, migrate.Objects(objects(t, source), migrate.Options{}).Results, source)
	}
}

// Kyma's documentation has what users migrate from.
func TestCorpusMigrates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(checkout.Shared(t, "corpus"), "*.yaml"))
	require.NoError(t, err)
	migrated, refused := 0, 0
	for _, file := range files {
		for _, object := range readable(t, file) {
			if version, _ := object["apiVersion"].(string); version != "gateway.kyma-project.io/v1beta1" {
				continue
			}
			outcome := migrate.Objects([]map[string]any{object}, migrate.Options{})
			if outcome.Results[0].Has(migrate.Refused) {
				t.Logf("%s: %s", filepath.Base(file), said(outcome))
				refused++
				continue
			}
			migrated++
			view := apirule.Parse(outcome.Results[0].APIRule, "")
			assert.Len(t, view.Hosts, 1, file)
			assert.NotEmpty(t, view.Rules, file)
		}
	}
	t.Logf("%d migrated, %d refused", migrated, refused)
	assert.GreaterOrEqual(t, migrated, 3)
}

// readable returns the objects of a file that may have documents which are no YAML.
func readable(t *testing.T, file string) []map[string]any {
	t.Helper()
	var values []map[string]any
	for _, document := range documents(t, file) {
		objects, err := document.Parse()
		if err != nil {
			continue
		}
		for _, object := range objects {
			values = append(values, object.Value)
		}
	}
	return values
}
