// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Facts of Kyma's API Gateway module 3.10 that the code under pkg relies on.
const (
	apiRuleGroup = "gateway.kyma-project.io"

	oneStrategy = `One of the following fields must be set: noAuth, jwt, extAuth`
	badHost     = `Host must be a lowercase RFC 1123 label (must consist of lowercase alphanumeric characters or '-', ` +
		`and must start and end with an lowercase alphanumeric character), a fully qualified domain name, or a wildcard domain name (e.g. *.local.kyma.dev)`
	pathPattern = `^((\/([A-Za-z0-9-._~!$&'()+,;=:@]|%[0-9a-fA-F]{2})*)|(\/\{\*{1,2}\}))+$|^\/\*$`
	methodNames = `"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"`
	deprecation = `Version v1beta1 of APIRule is no longer supported. Migrate to version v2.`
)

func apiRules(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: apiRuleGroup, Version: version, Resource: "apirules"}
}

// apiRule returns an APIRule with the fields of a spec, as YAML in braces' inside.
func apiRule(t *testing.T, version, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf("{apiVersion: %s/%s, kind: APIRule, metadata: {name: %s}, spec: {%s}}", apiRuleGroup, version, name, spec))
}

const (
	aHost    = `hosts: [app.example.com]`
	aGateway = `gateway: kyma-system/kyma-gateway`
	anOpen   = `rules: [{path: /, methods: [GET], noAuth: true}]`
)

// withRule, withHost and withPath are the fields of a spec that is acceptable
// but for what they are given.
func withRule(strategy string) string {
	return aHost + ", " + aGateway + ", rules: [{path: /, methods: [GET]" + strategy + "}]"
}

func withHost(host string) string { return fmt.Sprintf("hosts: [%q], %s, %s", host, aGateway, anOpen) }

func withPath(path string) string {
	return fmt.Sprintf("%s, %s, rules: [{path: %q, methods: [GET], noAuth: true}]", aHost, aGateway, path)
}

func pathRefusal(path string) string {
	return fmt.Sprintf(`spec.rules[0].path: Invalid value: %q: spec.rules[0].path in body should match '%s'`, path, pathPattern)
}

func hostRefusal(host string) string {
	return fmt.Sprintf(`spec.hosts[0]: Invalid value: %q: %s`, host, badHost)
}

// verdictCase is a spec and what the API server says about it, "" for nothing.
type verdictCase struct {
	spec string
	want string
}

func apiRuleCases() map[string]verdictCase {
	none := "spec.rules[0]: Invalid value: " + oneStrategy
	cases := map[string]verdictCase{
		// Access strategies.
		"a rule without an access strategy is refused":         {withRule(``), none},
		"noAuth false is no access strategy":                   {withRule(`, noAuth: false`), none},
		"noAuth false beside extAuth is accepted":              {withRule(`, noAuth: false, extAuth: {authorizers: [a]}`), ``},
		"noAuth true is accepted":                              {withRule(`, noAuth: true`), ``},
		"noAuth true beside extAuth is refused":                {withRule(`, noAuth: true, extAuth: {authorizers: [a]}`), none},
		"jwt beside extAuth is refused":                        {withRule(`, jwt: {}, extAuth: {authorizers: [a]}`), none},
		"an empty jwt is accepted":                             {withRule(`, jwt: {}`), ``},
		"an empty extAuth is refused":                          {withRule(`, extAuth: {}`), unchecked(`spec.rules[0].extAuth.authorizers: Required value`)},
		"an extAuth with an empty list is refused":             {withRule(`, extAuth: {authorizers: []}`), `spec.rules[0].extAuth.authorizers: Invalid value: 0: spec.rules[0].extAuth.authorizers in body should have at least 1 items`},
		"the same authorizer twice is accepted":                {withRule(`, extAuth: {authorizers: [a, a]}`), ``},
		"an authorizer without a name is accepted":             {withRule(`, extAuth: {authorizers: [""]}`), ``},
		"empty restrictions are accepted":                      {withRule(`, extAuth: {authorizers: [a], restrictions: {}}`), ``},
		"null counts as absent, so no strategy is left":        {withRule(`, noAuth: null, jwt: null`), none},
		"null counts as absent beside a strategy":              {withRule(`, noAuth: null, jwt: null, extAuth: {authorizers: [a]}`), ``},
		"an authentication wants issuer and jwksUri":           {withRule(`, jwt: {authentications: [{}]}`), unchecked(`spec.rules[0].jwt.authentications[0].issuer: Required value`, `spec.rules[0].jwt.authentications[0].jwksUri: Required value`)},
		"an unknown field is refused by strict decoding":       {withRule(`, noAuth: true, foo: 1`), `APIRule in version "VERSION" cannot be handled as a APIRule: strict decoding error: unknown field "spec.rules[0].foo"`},
		"a later rule is named by its index":                   {aHost + `, rules: [{path: /a, methods: [GET], noAuth: true}, {path: /, methods: [GET]}]`, `spec.rules[1]: Invalid value: ` + oneStrategy},
		"the second of two hosts is refused":                   {`hosts: [a.example.com, b.example.com], ` + anOpen, unchecked(`spec.hosts: Too many: 2: must have at most 1 item`)},
		"no hosts is refused":                                  {`hosts: [], ` + anOpen, `spec.hosts: Invalid value: 0: spec.hosts in body should have at least 1 items`},
		"hosts and rules are required":                         {``, unchecked(`spec.hosts: Required value`, `spec.rules: Required value`)},
		"no rules is refused":                                  {aHost + `, rules: []`, `spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items`},
		"path and methods are required":                        {aHost + `, rules: [{noAuth: true}]`, unchecked(`spec.rules[0].methods: Required value`, `spec.rules[0].path: Required value`)},
		"no methods is refused":                                {aHost + `, rules: [{path: /, methods: [], noAuth: true}]`, `spec.rules[0].methods: Invalid value: 0: spec.rules[0].methods in body should have at least 1 items`},
		"a method in lower case is refused":                    {aHost + `, rules: [{path: /, methods: [get], noAuth: true}]`, unchecked(`spec.rules[0].methods[0]: Unsupported value: "get": supported values: ` + methodNames)},
		"a wildcard for methods is refused":                    {aHost + `, rules: [{path: /, methods: ["*"], noAuth: true}]`, unchecked(`spec.rules[0].methods[0]: Unsupported value: "*": supported values: ` + methodNames)},
		"neither Gateway nor Service is accepted":              {aHost + `, ` + anOpen, ``},
		"both kinds of Gateway are accepted":                   {aHost + `, ` + aGateway + `, externalGateway: a/b, ` + anOpen, ``},
		"a Gateway without a namespace is refused":             {aHost + `, gateway: kyma-gateway, ` + anOpen, `spec.gateway: Invalid value: "kyma-gateway": Gateway must be in the namespace/name format`},
		"an ExternalGateway without a namespace is refused":    {aHost + `, externalGateway: kyma-gateway, ` + anOpen, `spec.externalGateway: Invalid value: "kyma-gateway": ExternalGateway must be in the namespace/name format`},
		"a Service wants a port":                               {aHost + `, service: {name: app}, ` + anOpen, unchecked(`spec.service.port: Required value`)},
		"a port is at most 65535":                              {aHost + `, service: {name: app, port: 65536}, ` + anOpen, `spec.service.port: Invalid value: 65536: spec.service.port in body should be less than or equal to 65535`},
		"a timeout is at most 3900 seconds":                    {aHost + `, timeout: 3901, ` + anOpen, `spec.timeout: Invalid value: 3901: spec.timeout in body should be less than or equal to 3900`},
		"a rule may have a Service, a timeout and a request":   {aHost + `, rules: [{path: /, methods: [GET], noAuth: true, service: {name: app, namespace: ns, port: 80}, timeout: 10, request: {headers: {a: b}, cookies: {c: d}}}]`, ``},
		"a CORS policy is accepted":                            {aHost + `, corsPolicy: {allowOrigins: [{exact: "https://a"}], allowMethods: [GET], allowHeaders: [a], exposeHeaders: [b], allowCredentials: true, maxAge: 1}, ` + anOpen, ``},
		"restrictions are what jwt is":                         {withRule(`, extAuth: {authorizers: [a], restrictions: {authentications: [{issuer: i, jwksUri: u, fromHeaders: [{name: authorization, prefix: Bearer}], fromParams: [q]}], authorizations: [{requiredScopes: [s], audiences: [d]}]}}`), ``},
		"a Gateway name longer than 127 characters is refused": {aHost + `, gateway: ` + long(128) + `, ` + anOpen, unchecked(`spec.gateway: Too long: may not be more than 127 bytes`)},
	}
	for _, host := range []string{"foo", "app.example.com", "*.example.com", "xn--p1ai.example.com"} {
		cases["the host "+host+" is accepted"] = verdictCase{withHost(host), ``}
	}
	for _, host := range []string{"Foo", "*", "*.com", "a.b", "foo.x", "foo_bar.example.com", "1.2.3.4", ""} {
		cases[fmt.Sprintf("the host %q is refused", host)] = verdictCase{withHost(host), hostRefusal(host)}
	}
	for _, path := range []string{"/", "/abc", "/abc/", "/*", "/{*}", "/{**}", "/a/{*}/b", "/a/{**}/b", "//a", "/%2F", "/a/{**}/{*}", "/foo/{**}/bar/{**}"} {
		cases["the path "+path+" is accepted"] = verdictCase{withPath(path), ``}
	}
	for _, path := range []string{"/a/*", "/.*", "/a/x{*}", "/a/{*}x", "/a b", "a", "", "/a?b=1", "/anything/(.*)", "/a#b"} {
		cases[fmt.Sprintf("the path %q is refused", path)] = verdictCase{withPath(path), pathRefusal(path)}
	}
	return cases
}

// unchecked returns what the API server says when an object is so wrong that it
// does not evaluate CEL rules: the reasons, and that there may be more.
func unchecked(reasons ...string) string {
	const more = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
	return "[" + strings.Join(append(reasons, more), ", ") + "]"
}

// long returns a Gateway name of n characters.
func long(n int) string { return "a/" + strings.Repeat("b", n-2) }

// inVersion fills the version into a message that names it.
func inVersion(message, version string) string {
	return strings.ReplaceAll(message, "VERSION", version)
}

// testAPIRuleVerdicts asks about everything in v2 and in v2alpha1, whose schemas
// differ in one thing, which testAPIRuleVersions has.
func testAPIRuleVerdicts(t *testing.T, c cluster) {
	for _, version := range []string{"v2", "v2alpha1"} {
		t.Run(version, func(t *testing.T) {
			for name, tc := range apiRuleCases() {
				t.Run(name, func(t *testing.T) {
					got := c.verdict(t, apiRules(version), apiRule(t, version, "probe", tc.spec))
					assert.Empty(t, cmp.Diff(inVersion(tc.want, version), got), "(-want +got)")
				})
			}
		})
	}
}

func testAPIRuleVersions(t *testing.T, c cluster) {
	t.Run("v2 wants a spec, v2alpha1 does not", func(t *testing.T) {
		without := func(version string) *unstructured.Unstructured {
			rule := apiRule(t, version, "probe", "")
			unstructured.RemoveNestedField(rule.Object, "spec")
			return rule
		}
		assert.Equal(t, unchecked("spec: Required value"), c.verdict(t, apiRules("v2"), without("v2")))
		assert.Empty(t, c.verdict(t, apiRules("v2alpha1"), without("v2alpha1")))
	})

	t.Run("v2 is what kubectl uses", func(t *testing.T) {
		groups, err := c.discovery.ServerGroups()
		require.NoError(t, err)
		for _, group := range groups.Groups {
			if group.Name == apiRuleGroup {
				assert.Equal(t, "v2", group.PreferredVersion.Version)
				assert.Len(t, group.Versions, 3)
				return
			}
		}
		assert.Fail(t, "the group is not served")
	})

	t.Run("each version has a status subresource and the category of the module", func(t *testing.T) {
		for _, version := range []string{"v2", "v2alpha1", "v1beta1"} {
			found, hasStatus := c.resource(t, apiRuleGroup+"/"+version, "apirules")
			assert.True(t, hasStatus, version)
			assert.Equal(t, []string{"kyma-api-gateway"}, found.Categories, version)
		}
	})

	t.Run("v1beta1 is served with a warning", func(t *testing.T) {
		c.warnings.take()
		spec := `gateway: n/a, host: host, rules: [{path: "/*", methods: [GET], accessStrategies: [{handler: noop}]}]`
		assert.Empty(t, c.verdict(t, apiRules("v1beta1"), apiRule(t, "v1beta1", "probe", spec)))
		assert.Equal(t, []string{deprecation}, c.warnings.take())
	})

	t.Run("v1beta1 cannot say nothing", func(t *testing.T) {
		assert.Equal(t, "[spec.gateway: Required value, spec.host: Required value, spec.rules: Required value]",
			c.verdict(t, apiRules("v1beta1"), apiRule(t, "v1beta1", "probe", "")))
	})

	t.Run("v2alpha1 is stored", func(t *testing.T) {
		crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
		crd, err := c.Resource(crds).Get(t.Context(), "apirules."+apiRuleGroup, metav1.GetOptions{})
		require.NoError(t, err)
		stored, _, err := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions")
		require.NoError(t, err)
		assert.Equal(t, []string{"v2alpha1"}, stored)
	})
}

// testAPIRuleLife goes through what Kyma's controller and users do to an APIRule
// after its creation.
func testAPIRuleLife(t *testing.T, c cluster) {
	v2 := c.of(apiRules("v2"))
	create := func(t *testing.T, rule *unstructured.Unstructured) *unstructured.Unstructured {
		t.Helper()
		created, err := c.of(rule.GroupVersionKind().GroupVersion().WithResource("apirules")).Create(t.Context(), rule, metav1.CreateOptions{})
		require.NoError(t, err)
		return created
	}

	t.Run("status is written through its subresource only, and its state is one of five", func(t *testing.T) {
		rule := apiRule(t, "v2", "status", withRule(`, noAuth: true`))
		require.NoError(t, unstructured.SetNestedField(rule.Object, "Ready", "status", "state"))
		created := create(t, rule)
		assert.NotContains(t, created.Object, "status")

		for _, state := range []string{"Processing", "Deleting", "Ready", "Error", "Warning"} {
			require.NoError(t, unstructured.SetNestedField(created.Object, state, "status", "state"))
			updated, err := v2.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
			require.NoError(t, err)
			created = updated
		}
		require.NoError(t, unstructured.SetNestedField(created.Object, "Broken", "status", "state"))
		_, err := v2.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
		require.ErrorContains(t, err, `status.state: Unsupported value: "Broken": supported values: "Processing", "Deleting", "Ready", "Error", "Warning"`)
	})

	t.Run("the controller removes the finalizer through v1beta1 with placeholders", func(t *testing.T) {
		rule := apiRule(t, "v2", "deleted", withRule(`, extAuth: {authorizers: [a]}`))
		rule.SetFinalizers([]string{"gateway.kyma-project.io/subresources"})
		create(t, rule)
		require.NoError(t, v2.Delete(t.Context(), "deleted", metav1.DeleteOptions{}))
		deleting, err := c.of(apiRules("v1beta1")).Get(t.Context(), "deleted", metav1.GetOptions{})
		require.NoError(t, err)
		require.NotNil(t, deleting.GetDeletionTimestamp())

		deleting.SetFinalizers(nil)
		deleting.Object["spec"] = apiRule(t, "v1beta1", "deleted",
			`gateway: n/a, host: host, rules: [{path: "/*", methods: [GET], accessStrategies: [{handler: noop}]}]`).Object["spec"]
		_, err = c.of(apiRules("v1beta1")).Update(t.Context(), deleting, metav1.UpdateOptions{})
		require.NoError(t, err)

		_, err = v2.Get(t.Context(), "deleted", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})

	t.Run("labels of an object without hosts and strategies may change, because they were missing before", func(t *testing.T) {
		create(t, apiRule(t, "v1beta1", "legacy", `gateway: a/b, host: legacy.example.com, rules: [{path: /, methods: [GET], accessStrategies: [{handler: no_auth}]}]`))
		patched, err := v2.Patch(t.Context(), "legacy", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		assert.Equal(t, "b", patched.GetLabels()["a"])
	})

	t.Run("rules belong to one field manager as a whole", func(t *testing.T) {
		require.NoError(t, c.apply(t, apiRules("v2"), "one", apiRule(t, "v2", "applied", withRule(`, noAuth: true`))))
		err := c.apply(t, apiRules("v2"), "two", apiRule(t, "v2", "applied", withPath("/other")))
		require.True(t, apierrors.IsConflict(err), "%v", err)
		assert.ErrorContains(t, err, ".spec.rules")
		assert.NotContains(t, err.Error(), ".spec.rules[")
	})
}
