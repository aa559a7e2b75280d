// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package crd_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const istioGroup = "operator.kyma-project.io"

func istios(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: istioGroup, Version: version, Resource: "istios"}
}

// istio returns an Istio CR with the fields of its spec.
func istio(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, fmt.Sprintf("{apiVersion: %s/v1alpha2, kind: Istio, metadata: {name: %s}, spec: {%s}}", istioGroup, name, spec))
}

func withAuthorizers(list string) string { return "config: {authorizers: [" + list + "]}" }

// testIstioVerdicts shows how little the CRD checks: what is wrong with an
// authorizer must be found elsewhere.
func testIstioVerdicts(t *testing.T, c cluster) {
	cases := map[string]verdictCase{
		"an empty spec is accepted":                     {``, ``},
		"every field of an authorizer is accepted":      {withAuthorizers(`{name: a, service: s.ns.svc.cluster.local, port: 80, pathPrefix: "/verify?original=", timeout: 5s, headers: {inCheck: {include: [cookie], add: {x: "%REQ(:path)%"}}, toUpstream: {onAllow: [authorization]}, toDownstream: {onAllow: [set-cookie], onDeny: [content-type]}}}`), ``},
		"an authorizer wants a name":                    {withAuthorizers(`{port: 80}`), unchecked(`spec.config.authorizers[0].name: Required value`)},
		"an authorizer wants a port":                    {withAuthorizers(`{name: a}`), unchecked(`spec.config.authorizers[0].port: Required value`)},
		"an authorizer without a Service is accepted":   {withAuthorizers(`{name: a, port: 80}`), ``},
		"an empty name is accepted":                     {withAuthorizers(`{name: "", port: 80}`), ``},
		"a name that is no DNS label is accepted":       {withAuthorizers(`{name: "Not a label", port: 80}`), ``},
		"the same name twice is accepted":               {withAuthorizers(`{name: a, port: 80}, {name: a, port: 81}`), ``},
		"port 0 is accepted":                            {withAuthorizers(`{name: a, port: 0}`), ``},
		"port -1 is accepted":                           {withAuthorizers(`{name: a, port: -1}`), ``},
		"port 70000 is accepted":                        {withAuthorizers(`{name: a, port: 70000}`), ``},
		"a port that is text is refused":                {withAuthorizers(`{name: a, port: "80"}`), unchecked(`spec.config.authorizers[0].port: Invalid value: "string": spec.config.authorizers[0].port in body must be of type integer: "string"`)},
		"a timeout that is none is accepted":            {withAuthorizers(`{name: a, port: 80, timeout: garbage}`), ``},
		"a timeout below a second is accepted":          {withAuthorizers(`{name: a, port: 80, timeout: 500ms}`), ``},
		"a path prefix without a slash is accepted":     {withAuthorizers(`{name: a, port: 80, pathPrefix: verify}`), ``},
		"failOpen is no field of an authorizer":         {withAuthorizers(`{name: a, port: 80, failOpen: true}`), `Istio in version "v1alpha2" cannot be handled as a Istio: strict decoding error: unknown field "spec.config.authorizers[0].failOpen"`},
		"a list that is text is refused":                {`config: {authorizers: none}`, unchecked(`spec.config.authorizers: Invalid value: "string": spec.config.authorizers in body must be of type array: "string"`)},
		"other settings of the mesh are known":          {`compatibilityMode: true, networkPoliciesEnabled: true, config: {numTrustedProxies: 1, forwardClientCertDetails: SANITIZE, gatewayExternalTrafficPolicy: Local, enableDNSProxying: true, trustDomain: example.com, proxyStatsMatcher: {inclusionRegexps: [a]}, telemetry: {metrics: {prometheusMerge: true}}}`, ``},
		"a wrong setting beside authorizers is refused": {`config: {numTrustedProxies: -1, authorizers: [{name: a, port: 80}]}`, `spec.config.numTrustedProxies: Invalid value: -1: spec.config.numTrustedProxies in body should be greater than or equal to 0`},
		"components and experiments may be there":       {`components: {pilot: {k8s: {resources: {requests: {cpu: 10m}}}}}, experimental: {pilot: {enableAlphaGatewayAPI: true}}`, ``},
		"a negative surge of a component is refused":    {`components: {pilot: {k8s: {strategy: {rollingUpdate: {maxSurge: -1}}}}}`, `spec.components.pilot.k8s.strategy.rollingUpdate.maxSurge: Invalid value: -1: must not be negative, more than 2147483647 or an empty string`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, cmp.Diff(tc.want, c.verdict(t, istios("v1alpha2"), istio(t, "default", tc.spec))), "(-want +got)")
		})
	}
}

func testIstioLife(t *testing.T, c cluster) {
	t.Run("v1alpha1 is gone", func(t *testing.T) {
		_, err := c.of(istios("v1alpha1")).List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})

	t.Run("it has a status subresource and the categories of the module", func(t *testing.T) {
		found, hasStatus := c.resource(t, istioGroup+"/v1alpha2", "istios")
		assert.True(t, hasStatus)
		assert.Equal(t, []string{"kyma-modules", "kyma-istio"}, found.Categories)
	})

	t.Run("its status has a state and conditions", func(t *testing.T) {
		created, err := c.of(istios("v1alpha2")).Create(t.Context(), istio(t, "status", ""), metav1.CreateOptions{})
		require.NoError(t, err)
		created.Object["status"] = object(t, `{state: Warning, description: Authorizer name needs to be unique, conditions: [{type: Ready, status: "False", reason: ValidationFailed, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}`).Object
		updated, err := c.of(istios("v1alpha2")).UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
		require.NoError(t, err)
		assert.Empty(t, cmp.Diff(created.Object["status"], updated.Object["status"]))
	})

	t.Run("authorizers belong to one field manager as a whole", func(t *testing.T) {
		require.NoError(t, c.apply(t, istios("v1alpha2"), "one", istio(t, "applied", withAuthorizers(`{name: a, port: 80}`))))
		err := c.apply(t, istios("v1alpha2"), "two", istio(t, "applied", withAuthorizers(`{name: b, port: 80}`)))
		require.True(t, apierrors.IsConflict(err), "%v", err)
		assert.ErrorContains(t, err, ".spec.config.authorizers")
		assert.NotContains(t, err.Error(), ".spec.config.authorizers[")
	})
}
