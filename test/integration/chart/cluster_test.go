// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart_test installs the chart's renderings in a real API server, and
// runs the webhook beside it with the chart's configuration and under the
// permissions of the chart's accounts.
package chart_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

const patience, glance = 30 * time.Second, 20 * time.Millisecond

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// cluster is a control plane with Kyma's CRDs, an Istio CR that knows
// oauth2-proxy, and the namespaces that the chart expects.
type cluster struct {
	plane  *controlplane.ControlPlane
	audit  string
	client dynamic.Interface
	typed  kubernetes.Interface
	mapper meta.RESTMapper
}

func newCluster(t *testing.T, crds ...string) *cluster {
	t.Helper()
	c := &cluster{audit: filepath.Join(t.TempDir(), "audit.log")}
	var err error
	c.plane, err = controlplane.Start(t.Context(), controlplane.Options{
		CRDs:     append([]string{checkout.Path(t, "pkg/crd/kyma")}, crds...),
		AuditLog: c.audit,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.plane.Stop()) })
	settings := c.plane.Config()
	settings.QPS, settings.WarningHandler = -1, rest.NoWarnings{}
	c.client, err = dynamic.NewForConfig(settings)
	require.NoError(t, err)
	c.typed, err = kubernetes.NewForConfig(settings)
	require.NoError(t, err)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.typed.Discovery()))
	for _, name := range []string{chart.Namespace, "kyma-system", "istio-system", "oauth2-proxy", "shop", "secrets", "trial"} {
		c.namespace(t, name)
	}
	_, err = c.client.Resource(istios).Namespace("kyma-system").Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio",
		"metadata": map[string]any{"name": "default"},
		"spec": map[string]any{"config": map[string]any{"authorizers": []any{map[string]any{
			"name": "oauth2-proxy", "service": "oauth2-proxy.oauth2-proxy.svc.cluster.local", "port": int64(80), "pathPrefix": "/verify?original=",
		}}}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

var (
	istios   = schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}
	apirules = schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
)

func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	_, err := c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// resource returns the client for an object.
func (c *cluster) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.client.Resource(mapping.Resource), nil
	}
	return c.client.Resource(mapping.Resource).Namespace(object.GetNamespace()), nil
}

// create creates an object, strictly.
func (c *cluster) create(ctx context.Context, object *unstructured.Unstructured, dryRun ...string) error {
	client, err := c.resource(object)
	if err != nil {
		return err
	}
	_, err = client.Create(ctx, object, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun})
	return err
}

// install creates what the chart renders, hooks and all, so that the webhook
// beside the API server can be called: the Service leads to localhost, and the
// webhooks name the port there.
func (c *cluster) install(t *testing.T, rendering chart.Rendering, port int) {
	t.Helper()
	objects, err := rendering.Objects()
	require.NoError(t, err)
	for _, object := range objects {
		switch object.GetKind() {
		case "Service":
			object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			for _, hook := range object.Object["webhooks"].([]any) {
				require.NoError(t, unstructured.SetNestedField(hook.(map[string]any), int64(port), "clientConfig", "service", "port"))
			}
		case "Pod", "Job":
			continue // nobody runs them here
		}
		require.NoError(t, c.create(t.Context(), object), "%s %s", object.GetKind(), object.GetName())
	}
}

// configuration returns the webhook's, as the chart wrote it, with addresses of
// this machine.
func configuration(t *testing.T, c *cluster) config.WebhookConfig {
	t.Helper()
	written, err := c.typed.CoreV1().ConfigMaps(chart.Namespace).Get(t.Context(), "extauth-guard", metav1.GetOptions{})
	require.NoError(t, err)
	settings, err := config.LoadWebhook([]byte(written.Data["config.yaml"]))
	require.NoError(t, err)
	return settings
}

// running is a webhook server.
type running struct {
	settings config.WebhookConfig
	stop     func()
}

// run starts the webhook of the chart under the chart's account, and waits until
// it is ready.
func (c *cluster) run(t *testing.T, local config.WebhookConfig) running {
	t.Helper()
	settings := configuration(t, c)
	settings.Server, settings.Probes, settings.Metrics = local.Server, local.Probes, local.Metrics
	settings.Certificates.Directory = local.Certificates.Directory
	manager, err := serve.NewManager(c.plane.AsServiceAccount(chart.Namespace, "extauth-guard"), settings, logr.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	ready, cancelReady := context.WithTimeout(t.Context(), patience)
	defer cancelReady()
	require.NoError(t, guard.Ready(ready, settings))
	return running{settings: settings, stop: stop}
}

// localSettings has free ports of this machine.
func localSettings(t *testing.T) config.WebhookConfig {
	t.Helper()
	settings, err := guard.Settings(t.Context(), t.TempDir())
	require.NoError(t, err)
	return settings
}

// apirule returns an APIRule with one rule.
func apirule(name string, annotations map[string]any, extAuth ...any) *unstructured.Unstructured {
	rule := map[string]any{"path": "/*", "methods": []any{"GET"}}
	if len(extAuth) > 0 {
		rule["extAuth"] = map[string]any{"authorizers": extAuth}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
		"metadata": map[string]any{"name": name, "namespace": "shop", "annotations": annotations},
		"spec": map[string]any{
			"hosts": []any{name + ".example.com"}, "gateway": "kyma-system/kyma-gateway",
			"service": map[string]any{"name": name, "port": int64(80)}, "rules": []any{rule},
		},
	}}
}

func protect() map[string]any { return map[string]any{"extauth-guard.io/inject": "true"} }

// injected says why a dry run did not come back injected, or nil.
func (c *cluster) injected(ctx context.Context, name string) error {
	stored, err := c.client.Resource(apirules).Namespace("shop").Create(ctx, apirule(name, protect()), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	rules, _, err := unstructured.NestedSlice(stored.Object, "spec", "rules")
	if err != nil || len(rules) != 1 {
		return fmt.Errorf("reading the rules: %w", err)
	}
	authorizers, _, err := unstructured.NestedStringSlice(rules[0].(map[string]any), "extAuth", "authorizers")
	if err != nil || len(authorizers) != 1 || authorizers[0] != "oauth2-proxy" {
		return errors.Join(err, fmt.Errorf("it has the authorizers %q", authorizers))
	}
	return nil
}
