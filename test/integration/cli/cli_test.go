// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli holds kubectl-extauth against a real API server, without and with
// our webhooks.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/lint"
	"github.com/extauth-guard/extauth-guard/pkg/manifest"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
	"github.com/extauth-guard/extauth-guard/pkg/report"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	m.Run()
}

// world is what is in the cluster before anything else.
const world = `apiVersion: v1
kind: Namespace
metadata: {name: kyma-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: oauth2-proxy}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}, annotations: {extauth-guard.io/inject: "true"}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, annotations: {extauth-guard.io/replace: "noAuth,jwt"}}
spec: {selector: {app: cart}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: oauth2-proxy, namespace: oauth2-proxy}
spec: {selector: {app: oauth2-proxy}, ports: [{port: 80}]}
---
apiVersion: operator.kyma-project.io/v1alpha2
kind: Istio
metadata: {name: default, namespace: kyma-system}
spec:
  config:
    authorizers:
    - {name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}
`

// fixtures are APIRules that the webhook changes in all the ways it knows, or
// leaves alone.
func fixtures() map[string]string {
	head := func(rest string) string {
		return "apiVersion: gateway.kyma-project.io/v2\nkind: APIRule\nmetadata:\n  name: x\n  namespace: shop\n" + rest
	}
	const spec = "spec:\n  hosts: [x]\n  gateway: kyma-system/kyma-gateway\n  service: {name: cart, port: 8080}\n  rules:\n"
	return map[string]string{
		"a rule in lines":            head(spec + "  - path: /*\n    methods: [GET]\n"),
		"a rule in braces":           head(spec + "  - {path: /*, methods: [GET]}\n"),
		"noAuth and jwt":             head(spec + "  - path: /a\n    noAuth: true\n    methods: [GET]\n  - path: /b\n    methods: [GET]\n    jwt:\n      authentications:\n      - issuer: https://i.example.com\n        jwksUri: https://i.example.com/j\n"),
		"annotations of somebody":    head("  annotations: {a: b}\n" + spec + "  - path: /*\n    methods: [GET]\n"),
		"another authorizer by name": head("  annotations:\n    extauth-guard.io/authorizers: oauth2-proxy\n" + spec + "  - path: /*\n    methods: [GET]\n"),
		"protected already":          head(spec + "  - path: /*\n    methods: [GET]\n    extAuth: {authorizers: [oauth2-proxy]}\n"),
		"a bad name":                 head(spec + "  - path: /*\n    methods: [GET]\n    extAuth: {authorizers: [oauth2-prox]}\n"),
		"a bad annotation":           head("  annotations: {extauth-guard.io/injekt: \"true\"}\n" + spec + "  - path: /*\n    methods: [GET]\n    noAuth: true\n"),
	}
}

type stage struct {
	kubeconfig string
	client     dynamic.Interface
}

// run runs kubectl-extauth against the cluster.
func (s stage) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Run(t.Context(), append(args, "--kubeconfig", s.kubeconfig), cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return exit.Code(err), out.String(), errs.String()
}

// offline runs kubectl-extauth without a cluster.
func (stage) offline(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := cli.Run(t.Context(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs})
	return exit.Code(err), out.String(), errs.String()
}

func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for document, err := range manifest.Split(strings.NewReader(text)) {
		require.NoError(t, err)
		objects, err := document.Parse()
		require.NoError(t, err)
		for _, one := range objects {
			all = append(all, &unstructured.Unstructured{Object: one.Value})
		}
	}
	return all
}

func (s stage) create(ctx context.Context, object *unstructured.Unstructured, dryRun ...string) (*unstructured.Unstructured, error) {
	resource, _ := map[string]schema.GroupVersionResource{
		"APIRule":   {Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"},
		"Istio":     {Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"},
		"Service":   {Version: "v1", Resource: "services"},
		"Namespace": {Version: "v1", Resource: "namespaces"},
	}[object.GetKind()]
	return s.client.Resource(resource).Namespace(object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{DryRun: dryRun})
}

// content is what an author writes: everything but what the API server adds.
func content(object *unstructured.Unstructured) map[string]any {
	return map[string]any{"annotations": object.GetAnnotations(), "spec": object.Object["spec"]}
}

func open(t *testing.T) (stage, *controlplane.ControlPlane) {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{
		checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "test/testdata/crds/optional"), checkout.Path(t, "config/crd"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	s := stage{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	require.NoError(t, plane.WriteKubeconfig(s.kubeconfig))
	config := plane.Config()
	config.WarningHandler = rest.NoWarnings{}
	s.client, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	for _, object := range parse(t, world) {
		_, err := s.create(t.Context(), object)
		require.NoError(t, err)
	}
	return s, plane
}

// serveWebhooks runs the manager as it ships and registers it.
func serveWebhooks(t *testing.T, plane *controlplane.ControlPlane) {
	t.Helper()
	settings, err := guard.Settings(t.Context(), filepath.Join(t.TempDir(), "tls"))
	require.NoError(t, err)
	manager, err := serve.NewManager(plane.Config(), settings, logr.Discard())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	ready, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	require.NoError(t, guard.Ready(ready, settings))
	registration, err := guard.Registration(settings)
	require.NoError(t, err)
	require.NoError(t, guard.Register(t.Context(), plane.Config(), registration))
}

func TestAgainstAnAPIServer(t *testing.T) {
	s, plane := open(t)

	// With our webhooks off: what inject prints is what the API server gets.
	printed := map[string]map[string]any{}
	for name, text := range fixtures() {
		code, stdout, stderr := s.run(t, text, "inject", "-", "--live")
		if code == 1 {
			continue // refused; compared below
		}
		require.Equal(t, 0, code, stderr)
		stored, err := s.create(t.Context(), parse(t, stdout)[0], metav1.DryRunAll)
		require.NoError(t, err, name)
		printed[name] = content(stored)
	}
	code, stdout, stderr := s.run(t, "", "check")
	assert.Equal(t, 1, code, stdout+stderr)
	assert.Contains(t, stdout, "× both are registered")
	code, stdout, _ = s.run(t, "", "check", "--pre")
	assert.Contains(t, stdout, "√ you may install")
	assert.Contains(t, stdout, "the Service oauth2-proxy/oauth2-proxy has no ready endpoint")
	assert.Equal(t, 1, code, stdout)

	serveWebhooks(t, plane)
	for name, text := range fixtures() {
		t.Run(name, func(t *testing.T) {
			stored, err := s.create(t.Context(), parse(t, text)[0], metav1.DryRunAll)
			_, stdout, stderr := s.run(t, text, "lint", "-", "--live", "-o", "json")
			var linted struct{ Findings []lint.Finding }
			require.NoError(t, json.Unmarshal([]byte(stdout), &linted), stderr)
			assert.Equal(t, deniedPaths(t, err), lintedPaths(linted.Findings), "lint and the webhook deny the same fields")
			if err == nil {
				assert.Empty(t, cmp.Diff(content(stored), printed[name]), "(-stored by the webhook +printed by inject)")
			}
		})
	}

	t.Run("migrate", func(t *testing.T) { testMigrate(t, s) })
	t.Run("explain", func(t *testing.T) { testExplain(t, s) })
	t.Run("report", func(t *testing.T) { testReport(t, s) })
	t.Run("hosts that are taken", func(t *testing.T) { testHosts(t, s) })
	t.Run("check", func(t *testing.T) {
		_, stdout, _ := s.run(t, "", "check", "--dry-run-namespace", "shop")
		assert.Contains(t, stdout, "√ ExtAuthPolicies are served")
		assert.Contains(t, stdout, "√ both are registered: 5 webhooks")
		assert.Contains(t, stdout, "√ their CA bundles hold")
		assert.Contains(t, stdout, "√ the served certificate is signed by the bundle and holds for a while: 127.0.0.1:")
		assert.Contains(t, stdout, "√ an annotated APIRule comes back injected: oauth2-proxy")
		assert.Contains(t, stdout, "√ an unknown authorizer is refused")
	})
}

func deniedPaths(t *testing.T, err error) []string {
	t.Helper()
	paths := []string{}
	if err == nil {
		return paths
	}
	var status apierrors.APIStatus
	require.ErrorAs(t, err, &status)
	for _, cause := range status.Status().Details.Causes {
		paths = append(paths, cause.Field)
	}
	return paths
}

func lintedPaths(findings []lint.Finding) []string {
	paths := []string{}
	for _, finding := range findings {
		if finding.Severity == "deny" {
			paths = append(paths, finding.Path)
		}
	}
	return paths
}

// startProxy gives the authorizer a ready endpoint, and the mesh the authorizer.
func (s stage) startProxy(t *testing.T) {
	t.Helper()
	slice := parse(t, `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: oauth2-proxy-1, namespace: oauth2-proxy, labels: {kubernetes.io/service-name: oauth2-proxy}},
		addressType: IPv4, endpoints: [{addresses: ["10.0.0.1"], conditions: {ready: true}}], ports: [{port: 4180}]}`)[0]
	slices := s.client.Resource(schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"})
	_, err := slices.Namespace("oauth2-proxy").Create(t.Context(), slice, metav1.CreateOptions{})
	require.NoError(t, err)
	mesh := parse(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "extensionProviders:\n- name: oauth2-proxy\n  envoyExtAuthzHttp: `+
		`{service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: '/verify?original='}\n"}}`)[0]
	_, err = s.create(t.Context(), parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}`)[0])
	require.NoError(t, err)
	_, err = s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("istio-system").Create(t.Context(), mesh, metav1.CreateOptions{})
	require.NoError(t, err)
}

func testExplain(t *testing.T, s stage) {
	t.Helper()
	object := parse(t, fixtures()["a rule in lines"])[0]
	object.SetName("cart")
	_, err := s.create(t.Context(), object)
	require.NoError(t, err)

	code, stdout, stderr := s.run(t, "", "explain", "apirule", "cart", "-n", "shop")
	assert.Equal(t, 1, code, stdout+stderr)
	for _, want := range []string{
		"APIRule shop/cart: Blocked", "has no ready endpoint", "kyma       reports no state yet", "registry   oauth2-proxy in the Istio CR kyma-system/default",
		"rule 0  GET /*: Blocked", "service    shop/cart port 8080, exists; selects app=cart; sidecars by namespace: yes",
		"authorizer oauth2-proxy: registered", "warn       AuthorizerUnready", "fix: Start the authorizer",
	} {
		assert.Contains(t, stdout, want)
	}
	s.startProxy(t)
	apirules := s.client.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}).Namespace("shop")
	_, err = apirules.Patch(t.Context(), "cart", types.MergePatchType, []byte(`{"status":{"state":"Warning","description":"its words"}}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	code, stdout, stderr = s.run(t, "", "explain", "cart", "-n", "shop", "-o", "json")
	assert.Equal(t, 0, code, stdout+stderr)
	var explained struct {
		Verdict policy.Verdict
		Kyma    struct{ State, Description string }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &explained))
	assert.Equal(t, policy.Protected, explained.Verdict)
	assert.Equal(t, struct{ State, Description string }{"Warning", "its words"}, explained.Kyma)

	code, _, stderr = s.run(t, "", "explain", "nothing", "-n", "shop")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "there is no APIRule shop/nothing")
}

func testReport(t *testing.T, s stage) {
	t.Helper()
	virtualService := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": map[string]any{"name": "raw", "namespace": "shop"},
		"spec": map[string]any{"hosts": []any{"raw.example.com"}, "gateways": []any{"kyma-system/kyma-gateway"}},
	}}
	resource := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}
	_, err := s.client.Resource(resource).Namespace("shop").Create(t.Context(), virtualService, metav1.CreateOptions{})
	require.NoError(t, err)

	code, stdout, stderr := s.run(t, "", "report", "-o", "json")
	require.Equal(t, 0, code, stderr)
	var got report.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Len(t, got.Hosts, 2)
	assert.Equal(t, "raw.example.com", got.Hosts[0].Host)
	assert.Equal(t, policy.Unknown, got.Hosts[0].Verdict)
	assert.Equal(t, policy.Protected, got.Hosts[1].Verdict, got.Hosts[1].Why)
	assert.Equal(t, "Namespace", got.Hosts[1].Rules[0].InjectedFrom)
}
