// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kyma gives a test a control plane that looks like a cluster with Kyma
// and extauth-guard: the CRDs, an Istio CR with the authorizer oauth2-proxy, the
// default Gateway, and the webhook binary as it ships.
package kyma

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// Gateway is the Gateway of the cluster; short hosts are under Domain.
const (
	Gateway = "kyma-system/kyma-gateway"
	Domain  = "kyma.example.com"
)

// leases is the namespace of the Lease: that of the release.
const leases = "extauth-guard"

// Cluster is a control plane with clients that may do everything.
type Cluster struct {
	Plane   *controlplane.ControlPlane
	Typed   kubernetes.Interface
	Untyped dynamic.Interface

	t          testing.TB
	directory  string
	binary     string
	kubeconfig string
}

// Start starts a cluster that ends with the test. There is no replica of
// extauth-guard in it yet.
func Start(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t, directory: t.TempDir()}
	var err error
	c.Plane, err = controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{
		checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "test/testdata/crds/optional"), checkout.Path(t, "config/crd"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Plane.Stop()) })
	settings := c.Plane.Config()
	settings.QPS, settings.WarningHandler = -1, rest.NoWarnings{}
	c.Typed, err = kubernetes.NewForConfig(settings)
	require.NoError(t, err)
	c.Untyped, err = dynamic.NewForConfig(settings)
	require.NoError(t, err)
	c.account()
	c.Namespace("kyma-system", nil)
	c.Namespace("istio-system", nil)
	c.Apply(`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system}, spec: {config: {authorizers: [
		{name: oauth2-proxy, service: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`)
	c.Apply(fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: kyma-gateway, namespace: kyma-system}, spec: {servers: [
		{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*.%[1]s"]}, {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.%[1]s"]}]}}`, Domain))
	return c
}

// account makes a kubeconfig that may do what extauth-guard may do in a cluster.
func (c *Cluster) account() {
	c.t.Helper()
	admin := filepath.Join(c.directory, "admin")
	require.NoError(c.t, c.Plane.WriteKubeconfig(admin))
	for _, role := range []string{"webhook.yaml", "controllers.yaml"} {
		out, err := exec.CommandContext(c.t.Context(), c.Plane.Kubectl(), "--kubeconfig", admin, "apply", "-f", checkout.Path(c.t, "test/testdata/rbac/"+role)).CombinedOutput()
		require.NoError(c.t, err, "%s", out)
	}
	loaded, err := clientcmd.LoadFromFile(admin)
	require.NoError(c.t, err)
	for _, user := range loaded.AuthInfos {
		user.Impersonate = "system:serviceaccount:extauth-guard:extauth-guard"
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:extauth-guard", "system:authenticated"}
	}
	c.kubeconfig = filepath.Join(c.directory, "kubeconfig")
	require.NoError(c.t, clientcmd.WriteToFile(*loaded, c.kubeconfig))
}

// Namespace creates a namespace whose Pods get sidecars.
func (c *Cluster) Namespace(name string, labels map[string]string) {
	c.t.Helper()
	all := map[string]string{"istio-injection": "enabled"}
	maps.Copy(all, labels)
	_, err := c.Typed.CoreV1().Namespaces().Create(c.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all}}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// Replica starts a replica of the webhook binary that ends with the test. Its
// Lease is short, so that another one takes over soon.
func (c *Cluster) Replica(change func(*config.WebhookConfig)) *guard.Process {
	c.t.Helper()
	if c.binary == "" {
		var err error
		c.binary, err = guard.Build(c.t.Context(), c.directory)
		require.NoError(c.t, err)
	}
	settings, err := guard.Settings(c.t.Context(), filepath.Join(c.t.TempDir(), "tls"))
	require.NoError(c.t, err)
	settings.LeaderElection.Namespace = leases
	settings.LeaderElection.LeaseDuration.Duration = 2 * time.Second
	settings.LeaderElection.RenewDeadline.Duration = 1500 * time.Millisecond
	settings.LeaderElection.RetryPeriod.Duration = 200 * time.Millisecond
	if change != nil {
		change(&settings)
	}
	process, err := guard.Run(c.t.Context(), c.binary, c.kubeconfig, c.directory, settings)
	require.NoError(c.t, err)
	c.t.Cleanup(func() {
		process.Stop()
		if c.t.Failed() {
			c.t.Logf("replica %d said:\n%s", process.PID(), process.Log())
		}
	})
	return process
}

// Admission starts a replica without controllers and registers its webhooks, so
// that replicas with controllers can be killed while admission goes on.
func (c *Cluster) Admission() *guard.Process {
	c.t.Helper()
	process := c.Replica(WithoutControllers)
	registration, err := guard.Registration(process.Settings)
	require.NoError(c.t, err)
	require.NoError(c.t, guard.Register(c.t.Context(), c.Plane.Config(), registration))
	return process
}

// WithoutControllers switches all controllers off.
func WithoutControllers(settings *config.WebhookConfig) {
	settings.LeaderElection.Enabled = false
	settings.Controllers.Audit.Enabled = false
	settings.Controllers.Reinject.Enabled = false
	settings.Controllers.Expose.Enabled = false
	settings.Controllers.Internal.Enabled = false
}

// Leader waits until one of the replicas leads, and returns it.
func (c *Cluster) Leader(replicas ...*guard.Process) *guard.Process {
	c.t.Helper()
	var found *guard.Process
	c.Eventually("one of the replicas leads", func(ctx context.Context) (string, bool) {
		lease, err := c.Typed.CoordinationV1().Leases(leases).Get(ctx, serve.LeaseName, metav1.GetOptions{})
		if err != nil || lease.Spec.HolderIdentity == nil {
			return fmt.Sprint(err), false
		}
		for _, one := range replicas {
			if strings.Contains(*lease.Spec.HolderIdentity, "_"+strconv.Itoa(one.PID())+"_") {
				found = one
			}
		}
		return *lease.Spec.HolderIdentity, found != nil
	})
	return found
}

// Eventually waits until check says true, at most half a minute; what it says
// besides is shown if it never does.
func (c *Cluster) Eventually(what string, check func(context.Context) (string, bool)) {
	c.t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(c.t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		text, done := check(ctx)
		if ctx.Err() == nil {
			last = text
		}
		return done, nil
	})
	require.NoError(c.t, err, "%s; last seen: %s", what, last)
}

// Apply creates or replaces an object given as YAML.
func (c *Cluster) Apply(text string) *unstructured.Unstructured {
	c.t.Helper()
	object := Object(c.t, text)
	applied, err := c.At(object).Apply(c.t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "test", Force: true})
	require.NoError(c.t, err, "%s", text)
	return applied
}

// At returns the client for the kind and namespace of an object.
func (c *Cluster) At(object *unstructured.Unstructured) dynamic.ResourceInterface {
	kind := object.GroupVersionKind()
	plural := strings.ToLower(kind.Kind) + "s"
	if strings.HasSuffix(kind.Kind, "y") && kind.Kind != "Gateway" {
		plural = strings.TrimSuffix(strings.ToLower(kind.Kind), "y") + "ies"
	}
	if kind.Kind == "Gateway" {
		plural = "gateways"
	}
	at := c.Untyped.Resource(schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: plural})
	if object.GetNamespace() == "" {
		return at
	}
	return at.Namespace(object.GetNamespace())
}

// Object reads an object from YAML.
func Object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	content := map[string]any{}
	raw, err := yaml.YAMLToJSON([]byte(strings.ReplaceAll(text, "\t", " ")))
	require.NoError(t, err, "%s", text)
	object := &unstructured.Unstructured{Object: content}
	require.NoError(t, object.UnmarshalJSON(raw))
	return object
}

// APIRules returns the client of the APIRules of a namespace, version v2.
func (c *Cluster) APIRules(namespace string) dynamic.ResourceInterface {
	return c.Untyped.Resource(schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}).Namespace(namespace)
}

// Events returns the notes of our events about an object, with their reasons, in
// the order of their creation.
func (c *Cluster) Events(ctx context.Context, namespace, kind, name string) []string {
	list, err := c.Typed.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "regarding.kind=" + kind + ",regarding.name=" + name})
	if err != nil {
		return []string{err.Error()}
	}
	var notes []string
	for _, event := range list.Items {
		if strings.HasPrefix(event.ReportingController, "extauth-guard") { // the API server has something to say about Services, too
			notes = append(notes, event.Reason+": "+event.Note)
		}
	}
	return notes
}
