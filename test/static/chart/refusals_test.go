// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/test/harness/chart"
)

func TestWhatCannotWorkIsRefused(t *testing.T) {
	cases := map[string]struct{ values, want string }{
		"a value that there is not":                {"replica: 3", "additional properties 'replica' not allowed"},
		"a nested value that there is not":         {"policy: {defaultAuthorizer: [a]}", "additional properties 'defaultAuthorizer' not allowed"},
		"an unknown value of the job":              {"bootstrap: {config: {isuer: {}}}", "additional properties 'isuer' not allowed"},
		"text for a number":                        {"replicas: two", "got string, want integer"},
		"a number for text":                        {"priorityClassName: 5", "got number, want string"},
		"text for a list":                          {"policy: {defaultAuthorizers: oauth2-proxy}", "got string, want array"},
		"a choice that there is not":               {"webhooks: {failurePolicy: Maybe}", "value must be one of '', 'Fail', 'Ignore'"},
		"an authorizer that cannot be a name":      {"policy: {defaultAuthorizers: [My_Auth]}", "does not match pattern"},
		"no authorizer at all":                     {"policy: {defaultAuthorizers: []}", "minItems: got 0, want 1"},
		"a duration without a unit":                {"certificates: {self: {validity: \"90\"}}", "does not match pattern"},
		"a digest that is none":                    {"image: {digest: latest}", "does not match pattern"},
		"one replica that must never go":           {"replicas: 1", "podDisruptionBudget.minAvailable is 1 of 1 replicas, so no node with one of them could ever be drained: set replicas to at least 2, or podDisruptionBudget.enabled to false"},
		"as many that must stay as there are":      {"{replicas: 3, podDisruptionBudget: {minAvailable: 3}}", "set replicas to at least 4"},
		"cert-manager where there is none":         {"certificates: {mode: cert-manager}", "the cluster does not serve cert-manager.io/v1: install cert-manager first, or set certificates.mode to self"},
		"an issuer without a name":                 {"certificates: {certManager: {issuerRef: {kind: Issuer}}}", "certificates.certManager.issuerRef has no name"},
		"alerts where nobody reads them":           {"monitoring: {prometheusRule: {enabled: true}, serviceMonitor: {enabled: true}}", "monitoring.serviceMonitor and monitoring.prometheusRule is enabled, but the cluster does not serve monitoring.coreos.com/v1"},
		"alerts on what nobody scrapes":            {"monitoring: {prometheusRule: {enabled: true}}", "monitoring.prometheusRule is enabled, but monitoring.serviceMonitor is not"},
		"a test where nobody looks":                {"tests: {namespace: kyma-system}", "tests.namespace is kyma-system, which the webhooks leave alone"},
		"a test in an excluded namespace":          {"{tests: {namespace: sandbox}, webhooks: {excludedNamespaces: [sandbox]}}", "tests.namespace is sandbox"},
		"a guarantee that nobody tells anything":   {"{guarantee: {enabled: true}, controllers: {audit: {enabled: false}}}", "guarantee.enabled needs controllers.audit.enabled"},
		"a guarantee without the CRD":              {"{guarantee: {enabled: true}, crds: {install: false}}", "guarantee.enabled needs the CRD of ExtAuthPolicy"},
		"a job that knows nothing, all at once":    {"bootstrap: {enabled: true}", "bootstrap.enabled needs bootstrap.config.issuer.url (the OpenID Connect issuer), bootstrap.config.credentials.name (the Secret with client-id and client-secret, which you make), bootstrap.config.proxy.chart.digest"},
		"a proxy for people that lets in somebody": {"bootstrap: {enabled: true, config: {flow: AuthorizationCode}}", "bootstrap.config.proxy.emailDomains (who may log in"},
		"a proxy in our own namespace": {
			"bootstrap: {enabled: true, config: {issuer: {url: \"https://i\"}, credentials: {name: c}, proxy: {namespace: extauth-guard, chart: {repository: /charts/x}}}}",
			"bootstrap.config.proxy.namespace is extauth-guard, the namespace of this release",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			values, err := chart.ReadValues([]byte(tc.values))
			require.NoError(t, err)
			_, err = chart.Render(chart.Options{Values: values})
			require.ErrorContains(t, err, tc.want)
		})
	}
}
