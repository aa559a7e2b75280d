// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// report returns the report of a namespace in one of the kinds; nil if there is none.
func (f fixture) report(ctx context.Context, group, version, resource, namespace string) (*unstructured.Unstructured, error) {
	at := f.Untyped.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).Namespace(namespace)
	found, err := at.Get(ctx, "extauth-guard", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return found, err
}

func TestTheNewestKindOfReportIsWritten(t *testing.T) {
	f := fixture{kyma.Start(t), t}
	f.Namespace("big", nil)
	f.Namespace("small", nil)
	f.Apply(`{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: all}, spec: {mode: Audit, require: {}}}`)
	rules := strings.TrimSuffix(strings.Repeat(`{path: "/`+strings.Repeat("long/", 40)+`%s%d", methods: [GET], noAuth: true},`, 1), ",")
	open := func(name string, count int) string {
		var list []string
		for i := range count {
			list = append(list, fmt.Sprintf(rules, name, i))
		}
		return fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[1]s, namespace: %[2]s}, spec: {hosts: [%[1]s], gateway: kyma-system/kyma-gateway, service: {name: a, port: 80}, rules: [%[3]s]}}`,
			name, map[bool]string{true: "small", false: "big"}[count == 1], strings.Join(list, ", "))
	}
	f.Apply(open("one", 1))
	for i := range 15 {
		f.Apply(open(fmt.Sprintf("many%d", i), 100))
	}
	f.Replica(func(settings *config.WebhookConfig) {
		onlyAudit(t)(settings)
		settings.Controllers.Audit.Period.Duration = time.Second
	})
	failed := func(report *unstructured.Unstructured) int64 {
		if report == nil {
			return -1
		}
		fail, _, _ := unstructured.NestedInt64(report.Object, "summary", "fail")
		return fail
	}
	content := func(report *unstructured.Unstructured) []any {
		return []any{report.Object["summary"], report.Object["results"]}
	}

	f.Eventually("the older kind is written while there is no other", func(ctx context.Context) (string, bool) {
		report, err := f.report(ctx, "wgpolicyk8s.io", "v1alpha2", "policyreports", "big")
		return fmt.Sprint(err, failed(report)), failed(report) == 1500
	})
	older, err := f.report(t.Context(), "wgpolicyk8s.io", "v1alpha2", "policyreports", "big")
	require.NoError(t, err)
	f.Apply(`{apiVersion: wgpolicyk8s.io/v1alpha2, kind: PolicyReport, metadata: {name: theirs, namespace: big}, results: [{policy: p, result: fail}]}`)

	require.NoError(t, f.Plane.InstallCRDs(checkout.Path(t, "test/testdata/crds/openreports")))
	f.Eventually("the newer kind is written once it is there", func(ctx context.Context) (string, bool) {
		report, err := f.report(ctx, "openreports.io", "v1alpha1", "reports", "big")
		return fmt.Sprint(err, failed(report)), failed(report) == 1500
	})
	newer, err := f.report(t.Context(), "openreports.io", "v1alpha1", "reports", "big")
	require.NoError(t, err)
	assert.Empty(t, cmp.Diff(content(older), content(newer)), "the same is in it")
	results, _, err := unstructured.NestedSlice(newer.Object, "results")
	require.NoError(t, err)
	assert.LessOrEqual(t, len(results), 1000, "a report has to fit into etcd")
	f.Eventually("each namespace has its own, and none of ours is left in the older kind", func(ctx context.Context) (string, bool) {
		small, err := f.report(ctx, "openreports.io", "v1alpha1", "reports", "small")
		left, listErr := f.Untyped.Resource(schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}).List(ctx, metav1.ListOptions{})
		return fmt.Sprint(err, listErr, failed(small)), err == nil && listErr == nil && failed(small) == 1 && len(left.Items) == 1 && left.Items[0].GetName() == "theirs"
	})
}
