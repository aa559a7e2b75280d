// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package races_test writes APIRules that conflict at the same time, through one and
// through two replicas.
package races_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

// pairs is how many Services get two APIRules that conflict.
const pairs = 60

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// asks has a replica asked about the APIRules whose names begin with a prefix.
func asks(t *testing.T, c *kyma.Cluster, replica *guard.Process, prefix string) {
	t.Helper()
	registration, err := guard.Registration(replica.Settings)
	require.NoError(t, err)
	only := admissionregistrationv1.MatchCondition{Name: "only", Expression: fmt.Sprintf("request.name.startsWith(%q)", prefix)}
	mutating, validating := registration.Mutating(), registration.Validating()
	mutating.Name, validating.Name = prefix+"extauth-guard", prefix+"extauth-guard"
	for i := range mutating.Webhooks {
		mutating.Webhooks[i].MatchConditions = append(mutating.Webhooks[i].MatchConditions, only)
	}
	for i := range validating.Webhooks {
		validating.Webhooks[i].MatchConditions = append(validating.Webhooks[i].MatchConditions, only)
	}
	api := c.Typed.AdmissionregistrationV1()
	_, err = api.MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = api.ValidatingWebhookConfigurations().Create(t.Context(), validating, metav1.CreateOptions{})
	require.NoError(t, err)
	c.Eventually("the API server asks "+prefix, func(ctx context.Context) (string, bool) {
		_, err := c.APIRules("probe").Create(ctx, kyma.Object(t, apirule("probe", prefix+"probe", "none", "nobody")), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return fmt.Sprint(err), apierrors.IsInvalid(err)
	})
}

func apirule(namespace, name, service, authorizer string) string {
	return fmt.Sprintf(`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {namespace: %s, name: %s}, spec: {
		hosts: [%[2]s], gateway: %s, service: {name: %s, port: 80}, rules: [{path: /*, methods: [GET], extAuth: {authorizers: [%s]}}]}}`,
		namespace, name, kyma.Gateway, service, authorizer)
}

// storm writes two APIRules for each Service at once, and returns how many of each pair
// were admitted.
func storm(t *testing.T, c *kyma.Cluster, namespace string, prefixes [2]string) (admitted [pairs]int) {
	t.Helper()
	c.Namespace(namespace, nil)
	for i := range pairs {
		c.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {namespace: %s, name: s%d}, spec: {ports: [{port: 80}], selector: {app: s%[2]d}}}`, namespace, i))
	}
	var mu sync.Mutex
	for i := range pairs {
		var group sync.WaitGroup
		together := make(chan struct{})
		for j, authorizer := range []string{"oauth2-proxy", "corp"} {
			object := kyma.Object(t, apirule(namespace, fmt.Sprintf("%s%d-%d", prefixes[j], i, j), fmt.Sprintf("s%d", i), authorizer))
			group.Go(func() {
				<-together
				_, err := c.APIRules(namespace).Create(t.Context(), object, metav1.CreateOptions{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					admitted[i]++
					return
				}
				assert.True(t, apierrors.IsInvalid(err), "%v", err)
				assert.Contains(t, err.Error(), "AuthorizerConflict")
			})
		}
		close(together)
		group.Wait()
	}
	return admitted
}

func TestConflictsThatAreWrittenAtOnce(t *testing.T) {
	c := kyma.Start(t)
	c.Namespace("probe", nil)
	c.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="},
		{name: corp, service: corp.corp.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
	for _, name := range []string{"oauth2-proxy", "corp"} {
		c.Namespace(name, nil)
		c.Apply(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {namespace: %[1]s, name: %[1]s}, spec: {ports: [{port: 80}], selector: {app: %[1]s}}}`, name))
		c.Apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: %[1]s, name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}},
			addressType: IPv4, endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}], ports: [{port: 80}]}`, name))
	}
	audits := func(settings *config.WebhookConfig) {
		settings.Controllers.Reinject.Enabled, settings.Controllers.Expose.Enabled = false, false
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		settings.Metrics.Address = listener.Addr().String()
		require.NoError(t, listener.Close())
	}
	one, two := c.Replica(audits), c.Replica(audits)
	asks(t, c, one, "one-")
	asks(t, c, two, "two-")
	leader := c.Leader(one, two)

	t.Run("through one replica, exactly one of two is admitted", func(t *testing.T) {
		for i, count := range storm(t, c, "single", [2]string{"one-", "one-"}) {
			assert.Equal(t, 1, count, "Service s%d", i)
		}
	})
	t.Run("through two replicas, the audit reports what both admitted", func(t *testing.T) {
		both := 0
		for i, count := range storm(t, c, "shared", [2]string{"one-", "two-"}) {
			assert.Positive(t, count, "Service s%d: one of two is right", i)
			both += count - 1
		}
		ended := time.Now()
		c.Eventually("each conflict is reported", func(ctx context.Context) (string, bool) {
			blocked, err := blockedHosts(ctx, leader, "shared")
			return fmt.Sprintf("%d of %d hosts, %v", blocked, 2*both, err), blocked == 2*both
		})
		t.Logf("both of two were admitted in %d of %d pairs; the audit had reported each %v after the last write", both, pairs, time.Since(ended).Round(10*time.Millisecond))
	})
}

// blockedHosts is how many hosts of a namespace the metric calls Blocked.
func blockedHosts(ctx context.Context, of *guard.Process, namespace string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+of.Settings.Metrics.Address+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or the error is told
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		var count int
		name, value, _ := strings.Cut(lines.Text(), "} ")
		if strings.HasPrefix(name, "extauth_guard_exposed_hosts{") && strings.Contains(name, fmt.Sprintf("namespace=%q", namespace)) && strings.Contains(name, `verdict="Blocked"`) {
			_, err := fmt.Sscan(value, &count)
			return count, err
		}
	}
	return 0, lines.Err()
}
