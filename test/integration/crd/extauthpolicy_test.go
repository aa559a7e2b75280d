// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
)

// TestExtAuthPolicy proves on a real API server what the schema of our own kind
// accepts, what it refuses, and in which words.
func TestExtAuthPolicy(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{checkout.Path(t, "config/crd")}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	c := newCluster(t, plane.Config())

	t.Run("a policy is accepted or refused", func(t *testing.T) { testExtAuthPolicyVerdicts(t, c) })
	t.Run("the status is a subresource, and the columns read well", func(t *testing.T) { testExtAuthPolicyTable(t, c, plane) })
	t.Run("kubectl explain says what a field is for", func(t *testing.T) { testExtAuthPolicyExplain(t, plane) })
}

func extAuthPolicies(c cluster) dynamic.NamespaceableResourceInterface {
	return c.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource))
}

func extAuthPolicy(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf("{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: %s}, spec: {%s}}", name, spec))
}

func testExtAuthPolicyVerdicts(t *testing.T, c cluster) {
	const required = "mode: Audit, require: {}"
	exempt := func(fields string) string {
		return required + ", exemptions: [{" + fields + "}]"
	}
	const excuse = `reason: probe of the CDN, owner: team-shop, expires: "2027-03-31"`
	cases := map[string]verdictCase{
		"the policy of the documentation":              {`mode: Enforce, match: {namespaceSelector: {matchLabels: {exposure: public}}, hosts: ["*.example.com", shop.example.org, shop], gateways: [kyma-system/kyma-gateway]}, require: {authorizers: [oauth2-proxy], allowJWT: true}, inject: {authorizers: [oauth2-proxy], replace: [noAuth]}, optOut: Forbidden, exemptions: [{namespace: shop, name: health, paths: [/healthz], ` + excuse + `}]`, ``},
		"any registered authorizer, everywhere":        {required, ``},
		"nothing but an injection":                     {`mode: Audit, inject: {}`, ``},
		"nothing but a ban on opting out":              {`mode: Audit, optOut: Forbidden`, ``},
		"a policy that says nothing":                   {`mode: Audit`, `spec: Invalid value: a policy has to say something: set require, inject, optOut or internalCallers to Forbidden, or crossNamespace to Consented`},
		"no mode":                                      {`require: {}`, unchecked(`spec.mode: Required value`)},
		"a mode of another tool":                       {`mode: deny, require: {}`, unchecked(`spec.mode: Unsupported value: "deny": supported values: "Enforce", "Warn", "Audit"`)},
		"an authorizer that istiod would not take":     {`mode: Audit, require: {authorizers: [OAuth2_Proxy]}`, "spec.require.authorizers[0]: Invalid value: \"OAuth2_Proxy\": an authorizer's name has lower-case letters, digits and '-' only, and begins and ends with a letter or digit"},
		"an authorizer twice":                          {`mode: Audit, require: {authorizers: [a, a]}`, `spec.require.authorizers[1]: Duplicate value: "a"`},
		"an injection that the same policy refuses":    {`mode: Audit, require: {authorizers: [a]}, inject: {authorizers: [b]}`, `spec: Invalid value: inject would make rules that require refuses: name one of require.authorizers in inject.authorizers`},
		"an injection of one of several":               {`mode: Audit, require: {authorizers: [a, b]}, inject: {authorizers: [b]}`, ``},
		"a strategy that cannot be replaced":           {`mode: Audit, inject: {replace: [extAuth]}`, unchecked(`spec.inject.replace[0]: Unsupported value: "extAuth": supported values: "noAuth", "jwt"`)},
		"a host with a scheme":                         {required + `, match: {hosts: ["https://shop.example.com"]}`, `spec.match.hosts[0]: Invalid value: "https://shop.example.com": a host is a name such as shop.example.com, a pattern such as *.example.com, or the short name shop`},
		"a wildcard in the middle":                     {required + `, match: {hosts: ["shop.*.com"]}`, `spec.match.hosts[0]: Invalid value: "shop.*.com": a host is a name such as shop.example.com, a pattern such as *.example.com, or the short name shop`},
		"a bare wildcard":                              {required + `, match: {hosts: ["*"]}`, `spec.match.hosts[0]: Invalid value: "*": a host is a name such as shop.example.com, a pattern such as *.example.com, or the short name shop`},
		"a host twice":                                 {required + `, match: {hosts: [a.example.com, a.example.com]}`, `spec.match.hosts[1]: Duplicate value: "a.example.com"`},
		"a gateway without namespace":                  {required + `, match: {gateways: [kyma-gateway]}`, `spec.match.gateways[0]: Invalid value: "kyma-gateway": a gateway is written as namespace/name, for example kyma-system/kyma-gateway`},
		"a selector with an operator of its own":       {required + `, match: {namespaceSelector: {matchExpressions: [{key: a, operator: Equals, values: [b]}]}}`, `[spec.match.namespaceSelector: Invalid value: an operator is one of In, NotIn, Exists, DoesNotExist, spec.match.namespaceSelector: Invalid value: In and NotIn need values, Exists and DoesNotExist have none]`},
		"a selector without the values it needs":       {required + `, match: {namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}`, `spec.match.namespaceSelector: Invalid value: In and NotIn need values, Exists and DoesNotExist have none`},
		"a selector that is right":                     {required + `, match: {namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}}`, ``},
		"an opt-out of another word":                   {required + `, optOut: "No"`, unchecked(`spec.optOut: Unsupported value: "No": supported values: "Allowed", "Forbidden"`)},
		"an exemption without owner":                   {exempt(`namespace: shop, name: health, reason: x, expires: "2027-03-31"`), unchecked(`spec.exemptions[0].owner: Required value`)},
		"an exemption with a blank reason":             {exempt(`namespace: shop, name: health, reason: " ", owner: x, expires: "2027-03-31"`), `spec.exemptions[0].reason: Invalid value: " ": say why`},
		"an exemption for ever":                        {exempt(`namespace: shop, name: health, reason: x, owner: z`), unchecked(`spec.exemptions[0].expires: Required value`)},
		"an exemption that ends on a day that is none": {exempt(`namespace: shop, name: health, reason: x, owner: z, expires: "2027-02-30"`), unchecked(`spec.exemptions[0].expires: Invalid value: "2027-02-30": spec.exemptions[0].expires in body must be of type date: "2027-02-30"`)},
		"an exemption that ends at a time":             {exempt(`namespace: shop, name: health, reason: x, owner: z, expires: "2027-03-31T00:00:00Z"`), unchecked(`spec.exemptions[0].expires: Invalid value: "2027-03-31T00:00:00Z": spec.exemptions[0].expires in body must be of type date: "2027-03-31T00:00:00Z"`)},
		"an exemption of a whole cluster":              {exempt(`namespace: "*", name: health, ` + excuse), `spec.exemptions[0].namespace: Invalid value: "*": must be the name of a namespace`},
		"an exemption without APIRule":                 {exempt(`namespace: shop, ` + excuse), unchecked(`spec.exemptions[0].name: Required value`)},
		"an exemption with a path that is none":        {exempt(`namespace: shop, name: health, paths: [healthz], ` + excuse), `spec.exemptions[0].paths[0]: Invalid value: "healthz": spec.exemptions[0].paths[0] in body should match '^/'`},
		"an exemption from nothing":                    {`mode: Audit, inject: {}, exemptions: [{namespace: shop, name: health, ` + excuse + `}]`, `spec: Invalid value: exemptions are from require, from optOut Forbidden or from crossNamespace Consented: set one of them`},
		"a field that is none":                         {required + `, requires: {}`, `ExtAuthPolicy in version "v1alpha1" cannot be handled as a ExtAuthPolicy: strict decoding error: unknown field "spec.requires"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := verdictOf(t, extAuthPolicies(c), extAuthPolicy(t, "p", tc.spec))
			assert.Empty(t, cmp.Diff(tc.want, got), "(-want +got)")
		})
	}
}

func testExtAuthPolicyTable(t *testing.T, c cluster, plane *controlplane.ControlPlane) {
	created, err := extAuthPolicies(c).Create(t.Context(), extAuthPolicy(t, "public-hosts", "mode: Audit, require: {}"), metav1.CreateOptions{})
	require.NoError(t, err)
	optOut, _, err := unstructured.NestedString(created.Object, "spec", "optOut")
	require.NoError(t, err)
	assert.Equal(t, "Allowed", optOut, "the default is written down")
	created.Object["status"] = object(t, `{matched: 3, compliant: 1, exempt: 0, violating: 2, notEnforced: 0, blocked: 1, unguarded: 0, conditions: [{type: Ready, status: "True", reason: InEffect, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}`).Object
	_, err = extAuthPolicies(c).UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^NAME +MODE +READY +REASON +MATCHED +VIOLATING +NOTENFORCED +BLOCKED +EXEMPT +AGE\npublic-hosts +Audit +True +InEffect +3 +2 +0 +1 +0 `, kubectl(t, plane, "get", "extauthpolicies"))
	assert.Contains(t, kubectl(t, plane, "get", "eap", "-o", "name"), "extauthpolicy.extauth-guard.io/public-hosts")
}

func testExtAuthPolicyExplain(t *testing.T, plane *controlplane.ControlPlane) {
	assert.Contains(t, kubectl(t, plane, "explain", "extauthpolicy"), "ExtAuthPolicy says which exposed hosts must be protected")
	assert.Contains(t, kubectl(t, plane, "explain", "extauthpolicy.spec"), "Begin with Audit.")
	assert.Contains(t, kubectl(t, plane, "explain", "extauthpolicy.spec.exemptions"), "The last day on which it holds, in UTC")
}

func kubectl(t *testing.T, plane *controlplane.ControlPlane, args ...string) string {
	t.Helper()
	file := t.TempDir() + "/kubeconfig"
	require.NoError(t, plane.WriteKubeconfig(file))
	out, err := exec.CommandContext(t.Context(), plane.Kubectl(), append([]string{"--kubeconfig", file}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
