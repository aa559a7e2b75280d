// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// patience bounds what a test waits for; on an idle machine nothing takes a
// tenth of it.
const (
	patience = 60 * time.Second
	often    = 10 * time.Millisecond
)

// stage is a control plane with CRDs and a world, and the webhook server as it
// ships, under the permissions that it gets in a cluster.
type stage struct {
	plane      *controlplane.ControlPlane
	settings   config.WebhookConfig
	dynamic    dynamic.Interface
	typed      kubernetes.Interface
	kubeconfig string
	cache      string // of kubectl
	auditLog   string
}

// newStage starts a stage. What is in world is applied before the webhooks are
// registered.
func newStage(t *testing.T, world string, crds ...string) *stage {
	t.Helper()
	directory := t.TempDir()
	s := &stage{
		kubeconfig: filepath.Join(directory, "kubeconfig"),
		cache:      filepath.Join(directory, "cache"),
		auditLog:   filepath.Join(directory, "audit.log"),
	}
	var err error
	s.plane, err = controlplane.Start(t.Context(), controlplane.Options{CRDs: crds, AuditLog: s.auditLog})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.plane.Stop()) })
	require.NoError(t, s.plane.WriteKubeconfig(s.kubeconfig))
	admin := s.plane.Config()
	admin.QPS, admin.WarningHandler = -1, rest.NoWarnings{}
	s.dynamic, err = dynamic.NewForConfig(admin)
	require.NoError(t, err)
	s.typed, err = kubernetes.NewForConfig(admin)
	require.NoError(t, err)
	s.mustKubectl(t, "", "apply", "-f", checkout.Path(t, "test/testdata/rbac/webhook.yaml"))
	if world != "" {
		s.mustKubectl(t, "", "apply", "-f", world)
	}
	s.settings, err = guard.Settings(t.Context(), filepath.Join(directory, "tls"))
	require.NoError(t, err)
	// The controllers have tests, and permissions, of their own.
	s.settings.LeaderElection.Enabled = false
	s.settings.Controllers.Audit.Enabled, s.settings.Controllers.Reinject.Enabled, s.settings.Controllers.Expose.Enabled = false, false, false
	s.serve(t, s.settings)
	registration, err := guard.Registration(s.settings)
	require.NoError(t, err)
	require.NoError(t, guard.Register(t.Context(), s.plane.Config(), registration))
	s.untilWebhooksAreCalled(t)
	return s
}

// serve runs the webhook server until the test ends.
func (s *stage) serve(t *testing.T, settings config.WebhookConfig) {
	t.Helper()
	manager, err := serve.NewManager(s.plane.AsServiceAccount("extauth-guard", "extauth-guard"), settings, log.Log)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, guard.Ready(ready, settings))
}

// untilWebhooksAreCalled waits until the API server has noticed the
// registration, which it does a moment after it has stored it.
func (s *stage) untilWebhooksAreCalled(t *testing.T) {
	t.Helper()
	namespace := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": "probe", "annotations": map[string]any{"extauth-guard.io/inject": "maybe"}},
	}}
	require.Eventually(t, func() bool {
		_, err := s.dynamic.Resource(namespaces()).Create(t.Context(), namespace, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	}, patience, often, "the webhooks are not called")
	open := object(t, apiRule("v2", "default", "probe", `extauth-guard.io/inject: "true"`, open))
	require.Eventually(t, func() bool {
		_, err := s.apiRules("v2", "default").Create(t.Context(), open, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil || !strings.Contains(err.Error(), oneOf)
	}, patience, often, "the mutating webhook is not called")
}

// kubectl runs kubectl as the user who may do everything, and returns what it
// printed on both outputs, in order.
func (s *stage) kubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // cleaning up uses it too
	defer cancel()
	var out bytes.Buffer
	command := exec.CommandContext(ctx, s.plane.Kubectl(),
		append([]string{"--kubeconfig", s.kubeconfig, "--cache-dir", s.cache}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &out
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), err
}

func (s *stage) mustKubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := s.kubectl(t, stdin, args...)
	require.NoError(t, err, "kubectl %s: %s", strings.Join(args, " "), out)
	return out
}

// namespace makes a namespace with sidecars for one test, and in it the Service
// web. It waits until the server knows both.
func (s *stage) namespace(t *testing.T, annotations ...string) string {
	t.Helper()
	created, err := s.dynamic.Resource(namespaces()).Create(t.Context(), object(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {generateName: test-, labels: {istio-injection: enabled}, annotations: {%s}}`, strings.Join(annotations, ", "))), metav1.CreateOptions{})
	require.NoError(t, err)
	name := created.GetName()
	s.create(t, services(), name, service("web", "web", ""))
	return name
}

func (s *stage) create(t *testing.T, resource schema.GroupVersionResource, namespace, manifest string) *unstructured.Unstructured {
	t.Helper()
	created, err := s.dynamic.Resource(resource).Namespace(namespace).Create(t.Context(), object(t, manifest), metav1.CreateOptions{})
	require.NoError(t, err)
	return created
}

func (s *stage) apiRules(version, namespace string) dynamic.ResourceInterface {
	return s.dynamic.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: version, Resource: "apirules"}).Namespace(namespace)
}

func (s *stage) istios() dynamic.ResourceInterface {
	return s.dynamic.Resource(istios()).Namespace("kyma-system")
}

func namespaces() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
}

func services() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "services"}
}

func istios() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}
}

// oneOf is what the CRD says about a rule without access strategy.
const oneOf = "One of the following fields must be set: noAuth, jwt, extAuth"

// Rules as a user writes them.
const (
	open = `{path: "/*", methods: [GET]}`
	jwt  = `{path: "/*", methods: [GET], jwt: {authentications: [{issuer: "https://idp.example.com", jwksUri: "https://idp.example.com/keys"}]}}`
)

func extAuth(authorizers string) string {
	return `{path: "/*", methods: [GET], extAuth: {authorizers: [` + authorizers + `]}}`
}

// apiRule is the manifest of an APIRule for the Service web.
func apiRule(version, namespace, name, annotations, rules string) string {
	return fmt.Sprintf(`apiVersion: gateway.kyma-project.io/%s
kind: APIRule
metadata: {name: %s, namespace: %s, annotations: {%s}}
spec:
  hosts: [%s]
  gateway: kyma-system/kyma-gateway
  service: {name: web, port: 8000}
  rules: [%s]
`, version, name, namespace, annotations, name, rules)
}

func service(name, app, annotations string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {%s}}
spec: {selector: {app: %s}, ports: [{port: 8000}]}
`, name, annotations, app)
}

func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	var content map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &content), "%s", manifest)
	return &unstructured.Unstructured{Object: content}
}

// authorizersOf returns the authorizers of each rule of a stored APIRule.
func authorizersOf(t *testing.T, apirule *unstructured.Unstructured) [][]string {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(apirule.Object, "spec", "rules")
	require.NoError(t, err)
	all := make([][]string, 0, len(rules))
	for _, rule := range rules {
		names, _, err := unstructured.NestedStringSlice(rule.(map[string]any), "extAuth", "authorizers")
		require.NoError(t, err)
		all = append(all, names)
	}
	return all
}

func apiRuleResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
}
