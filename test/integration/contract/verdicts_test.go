// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package contract_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/pkg/webhook"
)

// compareVerdicts has everybody judge what is stored of the last manifest: the webhook in
// its audit annotation, explain, report, lint, and the audit in its metric.
func (s *stage) compareVerdicts(t *testing.T, f fixture) policy.Verdict {
	t.Helper()
	namespace, name := f.last.GetNamespace(), f.last.GetName()
	stored, err := s.at(s.Untyped, f.last).Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	raw, err := stored.MarshalJSON()
	require.NoError(t, err)

	code, stdout, stderr := run(t, "", "explain", namespace+"/"+name, "--kubeconfig", s.kubeconfig, "-o", "json")
	require.NotEqual(t, exit.Usage, code, stderr)
	var explained struct{ Verdict policy.Verdict }
	require.NoError(t, json.Unmarshal([]byte(stdout), &explained), stderr)
	assert.Equal(t, explained.Verdict == policy.Protected, code == 0, "explain ends with 0 only for Protected")

	_, stdout, stderr = run(t, string(raw), "lint", "-", "--live", "--kubeconfig", s.kubeconfig, "-o", "json")
	var linted struct {
		Summary struct{ Verdicts map[policy.Verdict]int }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &linted), stderr)
	if f.given == "no mutating webhook" {
		assert.Equal(t, map[policy.Verdict]int{policy.Protected: 1}, linted.Summary.Verdicts, "lint judges what that webhook would make of it")
	} else {
		assert.Equal(t, map[policy.Verdict]int{explained.Verdict: 1}, linted.Summary.Verdicts, "lint")
	}

	_, stdout, stderr = run(t, "", "report", "--kubeconfig", s.kubeconfig, "-o", "json")
	var reported report.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &reported), stderr)
	counted := map[policy.Verdict]int{}
	for _, host := range reported.Hosts {
		if host.Kind != apirule.Kind || host.Namespace != namespace {
			continue
		}
		counted[host.Verdict]++
		if host.Name == name {
			assert.Equal(t, explained.Verdict, host.Verdict, "report")
		}
	}
	assert.Equal(t, counted, s.hosts, "the metric of the audit")

	until(t, fmt.Sprintf("the webhook says %s, as explain does", explained.Verdict), func(ctx context.Context) (string, bool) {
		said, err := s.annotated(ctx, raw, namespace, name)
		return fmt.Sprint(said, err), said == explained.Verdict
	})
	return explained.Verdict
}

// annotated returns what the validating webhook would tell the audit log of an APIRule
// that is created.
func (s *stage) annotated(ctx context.Context, object []byte, namespace, name string) (policy.Verdict, error) {
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Namespace: namespace, Name: name, Object: runtime.RawExtension{Raw: object},
			Kind:     metav1.GroupVersionKind{Group: apirule.Group, Version: "v2", Kind: apirule.Kind},
			Resource: metav1.GroupVersionResource{Group: apirule.Group, Version: "v2", Resource: apirule.Resource},
		},
	})
	if err != nil {
		return "", err
	}
	url := fmt.Sprintf("https://127.0.0.1:%d%s", s.guard.Settings.Server.Port, webhook.ValidateAPIRulePath)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(review))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its certificate is not the point
	}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var answer admissionv1.AdmissionReview
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Response == nil {
		return "", fmt.Errorf("the answer %d has no response", response.StatusCode)
	}
	return policy.Verdict(answer.Response.AuditAnnotations["verdict"]), nil
}

// hostsByVerdict reads the metric exposed_hosts of the APIRules in a namespace.
func hostsByVerdict(t *testing.T, registry *prometheus.Registry, namespace string) map[policy.Verdict]int {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	hosts := map[policy.Verdict]int{}
	for _, family := range families {
		if !strings.HasSuffix(family.GetName(), "_exposed_hosts") {
			continue
		}
		for _, one := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range one.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["kind"] == apirule.Kind && labels["namespace"] == namespace {
				hosts[policy.Verdict(labels["verdict"])] = int(one.GetGauge().GetValue())
			}
		}
	}
	return hosts
}
