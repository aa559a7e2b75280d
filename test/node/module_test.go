// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build node

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/kymamodule"
)

// asModule installs the manifest of the module in the order of Kyma's dashboard, but for
// the image, and removes it as docs/kyma.md says.
func asModule(t *testing.T, c *cluster) {
	t.Helper()
	step := steps(t)
	files := manifests(t)
	step("the CRDs, the Namespace, the rest", func(t *testing.T) {
		for _, file := range files {
			kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", file)
		}
		eventually(t, "all replicas", c.allReady)
	})
	step("the default ExtAuthGuard has a state, and a sentence about what is missing", func(t *testing.T) {
		kubectl(t, "delete", "apirules.gateway.kyma-project.io", "--namespace", namespace, "--all")
		raw, err := yaml.Marshal(kymamodule.Default())
		require.NoError(t, err)
		kubectl(t, "apply", "-f", written(t, "default.yaml", raw))
		c.setPolicy(t, "corporate")
		eventually(t, "the state", c.says(v1alpha1.StateError, "there is no Service corporate/authz"))
	})
	step("with everything there it is Ready", func(t *testing.T) {
		c.corporate(t)
		eventually(t, "the state", c.says(v1alpha1.StateReady, "everything works"))
	})
	step("its settings are in force", func(t *testing.T) {
		eventually(t, "the webhooks", func(ctx context.Context) error {
			err := c.injected(ctx)
			if err == nil || !strings.Contains(err.Error(), `authorizers ["corporate"]`) {
				return fmt.Errorf("not injected with corporate: %w", err)
			}
			return nil
		})
	})
	step("without the ExtAuthGuard those of the manifest are", func(t *testing.T) {
		kubectl(t, "delete", "--namespace", chart.Namespace, "extauthguard", v1alpha1.GuardName)
		eventually(t, "the webhooks", func(ctx context.Context) error {
			err := c.injected(ctx) // refused where nobody has registered it
			if err != nil && !strings.Contains(err.Error(), `"oauth2-proxy"`) {
				return err
			}
			return nil
		})
	})
	step("the webhook configurations, and then the rest, go", func(t *testing.T) {
		kubectl(t, "delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", "extauth-guard")
		for i := range files {
			kubectl(t, "delete", "--ignore-not-found", "-f", files[len(files)-1-i])
		}
		c.gone(t, "after-module")
	})
}

// manifests writes the three parts of the manifest and returns their files.
func manifests(t *testing.T) []string {
	t.Helper()
	objects, err := kymamodule.Manifest(kymamodule.Release{Version: "test"})
	require.NoError(t, err)
	turns := map[string]int{"CustomResourceDefinition": 0, "Namespace": 1}
	parts := make([]strings.Builder, 3)
	for _, object := range objects {
		turn, first := turns[object.GetKind()]
		if !first {
			turn = 2
		}
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		parts[turn].WriteString("---\n" + strings.ReplaceAll(string(raw), "image: ghcr.io/extauth-guard/", "image: localhost/"))
	}
	var files []string
	for i := range parts {
		files = append(files, written(t, fmt.Sprintf("part-%d.yaml", i), []byte(parts[i].String())))
	}
	return files
}

func written(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// setPolicy names the default authorizer.
func (c *cluster) setPolicy(t *testing.T, authorizer string) {
	t.Helper()
	kubectl(t, "patch", "--namespace", chart.Namespace, "extauthguard", v1alpha1.GuardName, "--type", "merge",
		"-p", `{"spec": {"policy": {"defaultAuthorizers": ["`+authorizer+`"]}}}`)
}

// says returns a function that says why the ExtAuthGuard does not have a state for a
// reason.
func (c *cluster) says(state v1alpha1.State, why string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		guards := c.untyped.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.GuardResource)).Namespace(chart.Namespace)
		object, err := guards.Get(ctx, v1alpha1.GuardName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		status, _, err := unstructured.NestedMap(object.Object, "status")
		if err != nil {
			return err
		}
		if status["state"] != string(state) || !strings.Contains(fmt.Sprint(status), why) {
			return fmt.Errorf("it is not %s because %q, but %v", state, why, status)
		}
		return nil
	}
}

// corporate makes the authorizer that the Istio CR knows from the start answer, as far
// as Kubernetes can tell.
func (c *cluster) corporate(t *testing.T) {
	t.Helper()
	const name = "corporate"
	_, err := c.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	_, err = c.typed.CoreV1().Services(name).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "authz"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 9000}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = c.typed.DiscoveryV1().EndpointSlices(name).Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "authz", Labels: map[string]string{discoveryv1.LabelServiceName: "authz"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{host}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}
