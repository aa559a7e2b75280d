// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/app/job"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
	"github.com/extauth-guard/extauth-guard/test/harness/standin"
	"github.com/extauth-guard/extauth-guard/test/harness/testcharts"
)

const (
	// jobNamespace is where the job keeps its lock and its results.
	jobNamespace = "extauth-guard"
	clientID     = "checkout"
	// secretCore is the part of the client secret that no escaping changes.
	secretCore = "Zq7vKx2mPw9rT4"
	// clientSecret has bytes around it that most encodings and templates change.
	clientSecret = `"{{ .Values }}"-<&>-%2F-` + secretCore
)

// plane is the control plane of all tests in this package. They share it because
// it takes seconds to start, and are not parallel because there is one Istio CR.
//

var plane *controlplane.ControlPlane

// auditLog is where the API server says who asked it for what.
//

var auditLog string

// binary is the job as it ships.
//

var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	log.SetLogger(logr.Discard())
	ctx := context.Background()
	root, err := checkout.Root()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	folder, err := os.MkdirTemp("", "extauth-bootstrap-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	auditLog = filepath.Join(folder, "audit.log")
	crds := filepath.Join(root, "pkg", "crd", "kyma")
	plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{crds, filepath.Join(root, "test", "testdata", "crds", "optional")}, AuditLog: auditLog})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	binary = filepath.Join(folder, "bootstrap")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/bootstrap")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the job: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// scene is a cluster with Kyma, a provider, a chart repository and a user's
// Secret, everything that a run needs.
type scene struct {
	client     client.Client
	provider   *oidcprovider.Provider
	kubelet    *standin.Kubelet
	kubeconfig string
	// namespace is the proxy's. Each scene has its own, as nothing ends the
	// deletion of one.
	namespace string
	// config is the BootstrapConfig, to be changed before a run.
	config map[string]any
	folder string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c, err := client.New(plane.Config(), client.Options{})
	require.NoError(t, err)
	s := &scene{client: c, folder: t.TempDir(), namespace: "proxy-" + suffix(t)}
	s.provider = oidcprovider.Start(t, oidcprovider.Options{Clients: map[string]string{clientID: clientSecret}})
	for _, name := range []string{"kyma-system", "istio-system", jobNamespace} {
		s.ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	gateway := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1beta1", "kind": "Gateway",
		"metadata": map[string]any{"namespace": "kyma-system", "name": "kyma-gateway"},
		"spec": map[string]any{"servers": []any{
			map[string]any{"hosts": []any{"*.example.com"}}, map[string]any{"hosts": []any{"*.example.com"}},
		}},
	}}
	s.ensure(t, gateway)
	newIstioCR(t, c, foreign)
	startKyma(t, c)
	s.kubelet = startKubelet(t, c, s.namespace)
	s.setSecret(t, map[string]string{"client-id": clientID, "client-secret": clientSecret + "\n"})

	s.kubeconfig = filepath.Join(s.folder, "kubeconfig")
	require.NoError(t, plane.WriteKubeconfig(s.kubeconfig))
	archive := testcharts.Archive(t)
	s.config = map[string]any{
		"apiVersion":  "config.extauth-guard.io/v1alpha1",
		"kind":        "BootstrapConfig",
		"issuer":      map[string]any{"url": s.provider.Issuer()},
		"credentials": map[string]any{"namespace": "default", "name": s.namespace},
		"proxy": map[string]any{
			"namespace": s.namespace,
			"chart":     map[string]any{"repository": testcharts.Repository(t, archive), "digest": testcharts.Digest(archive)},
		},
		"selfCheck": map[string]any{"enabled": false},
		"timeouts":  map[string]any{"total": "60s", "step": "30s", "request": "5s", "lock": "2s"},
	}
	return s
}

func (s *scene) ensure(t *testing.T, object client.Object) {
	t.Helper()
	require.NoError(t, client.IgnoreAlreadyExists(s.client.Create(t.Context(), object)))
}

// keepNamespace makes the proxy's namespace as a user, so that an uninstall leaves
// it: nothing here would end its deletion.
func (s *scene) keepNamespace(t *testing.T) {
	t.Helper()
	s.ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
}

// setSecret replaces the user's Secret.
func (s *scene) setSecret(t *testing.T, values map[string]string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: s.namespace}, StringData: values}
	require.NoError(t, client.IgnoreNotFound(s.client.Delete(t.Context(), secret.DeepCopy())))
	require.NoError(t, s.client.Create(t.Context(), secret))
}

// codeFlow changes the configuration to the authorization-code flow. What connects
// to the proxies here is this machine and no sidecar.
func (s *scene) codeFlow(t *testing.T) {
	t.Helper()
	s.set(t, "flow", "AuthorizationCode")
	s.set(t, "proxy.emailDomains", []any{"*"})
	s.set(t, "proxy.trustedProxyIPs", []any{"127.0.0.1/32"})
	// Nothing here ends a namespace, so other tests leave their hosts.
	s.set(t, "callback", map[string]any{"host": s.namespace + ".example.com"})
}

// set changes the configuration at a dotted path.
func (s *scene) set(t *testing.T, path string, value any) {
	t.Helper()
	require.NoError(t, unstructured.SetNestedField(s.config, value, strings.Split(path, ".")...))
}

// args writes the configuration and returns the command line for it.
func (s *scene) args(t *testing.T, more ...string) []string {
	t.Helper()
	raw, err := yaml.Marshal(s.config)
	require.NoError(t, err)
	file := filepath.Join(s.folder, "config.yaml")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	termination := filepath.Join(s.folder, "termination-log")
	require.NoError(t, os.WriteFile(termination, nil, 0o600))
	return append([]string{
		"--config", file, "--kubeconfig", s.kubeconfig, "--namespace", jobNamespace, "--output", "json",
		"--termination-log", termination, "--proxy-address", s.kubelet.Address(),
	}, more...)
}

// outcome is what came of one run.
type outcome struct {
	err            error
	stdout, stderr string
	steps          map[string]step
	order          []string
	termination    string
}

type step struct {
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Error   string `json:"error"`
	Applied bool   `json:"applied"`
}

// run runs the job in this process.
func (s *scene) run(t *testing.T, more ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := s.args(t, more...)
	err := job.Run(t.Context(), args, &stdout, &stderr)
	raw, readErr := os.ReadFile(filepath.Join(s.folder, "termination-log"))
	require.NoError(t, readErr)
	out := outcome{err: err, stdout: stdout.String(), stderr: stderr.String(), termination: string(raw), steps: map[string]step{}}
	for line := range strings.Lines(out.stdout) {
		var event struct {
			Event string `json:"event"`
			Step  string `json:"step"`
			step
		}
		require.NoError(t, json.Unmarshal([]byte(line), &event), line)
		if event.Event == "finished" {
			out.steps[event.Step] = event.step
			out.order = append(out.order, event.Step)
		}
	}
	return out
}

// applied names the steps that changed something.
func (o outcome) applied() []string {
	names := []string{}
	for _, name := range o.order {
		if o.steps[name].Applied {
			names = append(names, name)
		}
	}
	return names
}

// istio returns the Istio CR.
func (s *scene) istio(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(standin.IstioGVK())
	require.NoError(t, s.client.Get(t.Context(), standin.IstioKey(), object))
	return object
}

// config returns spec.config of the Istio CR as JSON without our entry.
func (s *scene) foreignConfig(t *testing.T) string {
	t.Helper()
	config, _, err := unstructured.NestedMap(s.istio(t).Object, "spec", "config")
	require.NoError(t, err)
	list, _ := config["authorizers"].([]any)
	kept := []any{}
	for _, entry := range list {
		if entry.(map[string]any)["name"] != "oauth2-proxy" {
			kept = append(kept, entry)
		}
	}
	config["authorizers"] = kept
	raw, err := json.Marshal(config)
	require.NoError(t, err)
	return string(raw)
}

// ours returns our entry, or nil.
func (s *scene) ours(t *testing.T) map[string]any {
	t.Helper()
	list, _, err := unstructured.NestedSlice(s.istio(t).Object, "spec", "config", "authorizers")
	require.NoError(t, err)
	for _, entry := range list {
		if object := entry.(map[string]any); object["name"] == "oauth2-proxy" {
			return object
		}
	}
	return nil
}

func (s *scene) secret(t *testing.T) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: s.namespace, Name: "oauth2-proxy-credentials"}
	require.NoError(t, s.client.Get(t.Context(), key, &secret))
	return &secret
}

// suffix makes a test's name fit for a namespace.
func suffix(t *testing.T) string {
	t.Helper()
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, t.Name())
	return clean[max(0, len(clean)-50):]
}

// eventually and tick bound the waiting for what the loops do.
const (
	eventually = 10 * time.Second
	tick       = 50 * time.Millisecond
)

func logDiscard() logr.Logger { return logr.Discard() }

// everythingOfIstio returns the whole list of authorizers as JSON.
func (s *scene) everythingOfIstio(t *testing.T) string {
	t.Helper()
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(standin.IstioGVK())
	require.NoError(t, s.client.List(t.Context(), &list))
	specs := []any{}
	for _, item := range list.Items {
		specs = append(specs, item.Object["spec"])
	}
	raw, err := json.Marshal(specs)
	require.NoError(t, err)
	return string(raw)
}
