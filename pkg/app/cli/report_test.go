// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
)

const virtualServices = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: legacy}
spec: {hosts: [raw.example.com], gateways: [kyma-system/kyma-gateway]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: inside, namespace: legacy}
spec: {hosts: [inside.legacy.svc.cluster.local], gateways: [mesh]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart-x, namespace: shop, labels: {apirule.gateway.kyma-project.io/name: cart}}
spec: {hosts: [cart.example.com], gateways: [kyma-system/kyma-gateway]}
`

// A report on files shows what would be stored: injected, and checked.
func TestReportOnFiles(t *testing.T) {
	code, stdout, stderr := run(t, shop+"---\n"+virtualServices, "report", "-", "--authorizers", "corp", "-o", "json")
	require.Equal(t, 0, code, stderr)
	var got report.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	assert.Equal(t, "-", got.Source)
	require.Len(t, got.Hosts, 2)
	assert.Equal(t, policy.Open, got.Hosts[0].Verdict)
	assert.Equal(t, "Namespace", got.Hosts[0].Rules[1].InjectedFrom)
	assert.Equal(t, "AuthorizerNotRegistered", got.Hosts[0].Findings[1].Code)
	assert.Equal(t, "raw.example.com", got.Hosts[1].Host)
	assert.Equal(t, policy.Unknown, got.Hosts[1].Verdict)
}

func TestReportFails(t *testing.T) {
	earlier := filepath.Join(t.TempDir(), "earlier.json")
	code, stdout, stderr := run(t, shop, "report", "-", "--authorizers", "corp", "-o", "json")
	require.Equal(t, 0, code, stderr)
	require.NoError(t, os.WriteFile(earlier, []byte(strings.ReplaceAll(stdout, `"verdict": "Open"`, `"verdict": "Protected"`)), 0o600))

	for args, want := range map[string]int{
		"":                       0,
		"--fail-on Open":         1,
		"--fail-on NotEnforced":  0,
		"--fail-on Blocked,Open": 1,
		"--compare " + earlier:   0,
		"--compare " + earlier + " --fail-on worse": 1,
		"--fail-on worse":     2,
		"--fail-on Protected": 2,
		"--fail-on open":      2,
		"--compare " + filepath.Join(earlier, "absent"): 2,
	} {
		code, _, stderr := run(t, shop, append([]string{"report", "-", "--authorizers", "corp"}, strings.Fields(args)...)...)
		assert.Equal(t, want, code, "%s: %s", args, stderr)
	}
}

func TestReportExitCodes(t *testing.T) {
	code, _, stderr := run(t, "", "report", "-", "-o", "pdf")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "known are table")
	code, _, stderr = run(t, "", "report", "--kubeconfig", "/nowhere")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "reading the kubeconfig")
	code, _, _ = run(t, "a: [", "report", "-")
	assert.Equal(t, 2, code)
}

const policies = `apiVersion: extauth-guard.io/v1alpha1
kind: ExtAuthPolicy
metadata: {name: public}
spec:
  mode: Enforce
  match: {}
  require: {authorizers: [oauth2-proxy]}
  exemptions:
  - {namespace: shop, name: cart, paths: [/status], reason: probe, owner: us, expires: "2999-12-31"}
  - {namespace: shop, name: old, reason: probe, owner: us, expires: "2020-01-01"}
`

func TestReportListsExemptions(t *testing.T) {
	code, stdout, stderr := run(t, shop+"---\n"+policies, "report", "-", "--authorizers", "oauth2-proxy", "-o", "json")
	require.Equal(t, 0, code, stderr)
	var got report.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Len(t, got.Exemptions, 2)
	assert.Equal(t, "2999-12-31", got.Exemptions[0].Expires)
	assert.Equal(t, []bool{false, true}, []bool{got.Exemptions[0].Expired, got.Exemptions[1].Expired})
	for _, finding := range got.Hosts[0].Findings {
		assert.NotEqual(t, "PolicyViolation", finding.Code, "the open rule is exempt")
	}
}
