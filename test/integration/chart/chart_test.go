// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package chart_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/extauth-guard/extauth-guard/pkg/app/serve"
	"github.com/extauth-guard/extauth-guard/test/harness/certmanager"
	"github.com/extauth-guard/extauth-guard/test/harness/chart"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
)

// From an empty namespace to an uninstall, everything under the accounts of the
// chart and with its configuration.
func TestTheChartAtWork(t *testing.T) {
	c := newCluster(t)
	// Without the controllers, each of which has a suite of its own that runs under
	// its role: test/static/chart compares that with the chart.
	off := map[string]any{"enabled": false}
	rendering, err := chart.Render(chart.Options{Values: map[string]any{
		"tests":       map[string]any{"namespace": "shop"},
		"controllers": map[string]any{"audit": off, "reinject": off, "expose": off},
	}})
	require.NoError(t, err)
	local := localSettings(t)
	local.Controllers.Audit.Enabled, local.Controllers.Reinject.Enabled, local.Controllers.Expose.Enabled = false, false, false
	c.install(t, rendering, local.Server.Port)

	webhook := c.run(t, local)
	require.NoError(t, c.injected(t.Context(), "first"), "ready means that the API server can reach it, too")
	err = c.create(t.Context(), apirule("typo", nil, "ouath2-proxy"))
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "oauth2-proxy")

	t.Run("helm test tries it", func(t *testing.T) {
		out, err := c.command(t, "extauth-guard-test", "selfcheck", "--namespace", "shop", "--authorizer", "oauth2-proxy")
		require.NoError(t, err)
		assert.Equal(t, "an annotated APIRule is injected with oauth2-proxy\nan APIRule with an unregistered authorizer is refused\n", out)
	})
	t.Run("also before the authorizer is registered", func(t *testing.T) {
		out, err := c.command(t, "extauth-guard-test", "selfcheck", "--namespace", "shop", "--authorizer", "later")
		require.NoError(t, err)
		assert.Contains(t, out, "note: later is not registered in the Istio CR yet")
	})
	t.Run("and it fails where nobody looks", func(t *testing.T) {
		_, err := c.command(t, "extauth-guard-test", "selfcheck", "--namespace", "oauth2-proxy", "--authorizer", "oauth2-proxy")
		require.Error(t, err)
	})
	t.Run("a certificate that somebody removes is made again, and served", func(t *testing.T) {
		secrets := c.typed.CoreV1().Secrets(chart.Namespace)
		before, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
		require.NoError(t, err)
		removed := before.DeepCopy()
		delete(removed.Data, "tls.crt")
		_, err = secrets.Update(t.Context(), removed, metav1.UpdateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			now, err := secrets.Get(t.Context(), "extauth-guard-tls", metav1.GetOptions{})
			return err == nil && len(now.Data["tls.crt"]) > 0 && !bytes.Equal(now.Data["tls.crt"], before.Data["tls.crt"]) &&
				bytes.Equal(now.Data["ca.crt"], before.Data["ca.crt"])
		}, patience, glance)
		require.NoError(t, c.injected(t.Context(), "renewed"))
	})
	t.Run("its permissions are exactly what it uses", func(t *testing.T) {
		webhook.stop()
		// A Namespace is read directly only where the watch lags behind.
		want := slices.DeleteFunc(granted(t, rendering), func(one string) bool { return one == "get namespaces" })
		// A watch is written down when it has ended.
		require.Eventually(t, func() bool { return slices.Contains(c.used(t), "watch services") }, patience, glance)
		require.Eventually(t, func() bool { return cmp.Equal(want, c.used(t)) || len(c.used(t)) > len(want) }, patience, glance,
			"some permission is never used: %s", cmp.Diff(want, c.used(t)))
		assert.Empty(t, cmp.Diff(want, c.used(t)), "(-granted +used)")
		require.Error(t, c.create(t.Context(), apirule("late", nil, "oauth2-proxy")), "without the webhook nothing passes")
	})
}

// The API server's own strict validation of every documented configuration.
func TestTheAPIServerAcceptsEveryRendering(t *testing.T) {
	crds, err := certmanager.CRDs(t.Context())
	require.NoError(t, err)
	c := newCluster(t, crds)
	files, err := filepath.Glob(checkout.Path(t, "test/static/chart/testdata") + "/*.values.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	c.namespace(t, "proxy")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			values, err := chart.ReadValues(raw)
			require.NoError(t, err)
			rendering, err := chart.Render(chart.Options{Values: values, APIVersions: []string{"cert-manager.io/v1", "monitoring.coreos.com/v1"}})
			require.NoError(t, err)
			objects, err := rendering.Objects()
			require.NoError(t, err)
			var skipped []string
			for _, object := range objects {
				if object.GetKind() == "Namespace" {
					continue // it is there
				}
				err := c.create(t.Context(), object, metav1.DryRunAll)
				if meta.IsNoMatchError(err) {
					skipped = append(skipped, object.GetKind())
					continue
				}
				require.NoError(t, err, "%s %s", object.GetKind(), object.GetName())
			}
			slices.Sort(skipped)
			t.Logf("not served here, so not looked at: %v", slices.Compact(skipped))
		})
	}
}

// command runs the webhook binary's command line under an account of the chart.
func (c *cluster) command(t *testing.T, account string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(kubeconfig(c.plane.AsServiceAccount(chart.Namespace, account)), file))
	var out, log bytes.Buffer
	err := serve.Run(t.Context(), append(args, "--kubeconfig", file), &out, &log)
	return out.String(), err
}

func kubeconfig(config *rest.Config) clientcmdapi.Config {
	return clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
			Impersonate: config.Impersonate.UserName, ImpersonateGroups: config.Impersonate.Groups,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}
}

// granted lists what the roles of the webhook's account allow.
func granted(t *testing.T, rendering chart.Rendering) []string {
	t.Helper()
	objects, err := rendering.Installed()
	require.NoError(t, err)
	var all []string
	for _, object := range objects {
		if (object.GetKind() != "Role" && object.GetKind() != "ClusterRole") || object.GetName() != "extauth-guard" {
			continue
		}
		raw, err := object.MarshalJSON()
		require.NoError(t, err)
		var role rbacv1.Role
		require.NoError(t, json.Unmarshal(raw, &role))
		for _, rule := range role.Rules {
			name := ""
			if len(rule.ResourceNames) > 0 {
				name = " " + rule.ResourceNames[0]
			}
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, verb+" "+resource+name)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// used lists what the webhook's account asked of the API server, and insists that
// nothing was forbidden.
func (c *cluster) used(t *testing.T) []string {
	t.Helper()
	file, err := os.Open(c.audit)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	named := []string{"secrets", "configmaps", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditv1.Event
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		if event.ImpersonatedUser == nil || !strings.HasSuffix(event.ImpersonatedUser.Username, ":extauth-guard") || event.ObjectRef == nil {
			continue
		}
		what := event.Verb + " " + event.ObjectRef.Resource
		require.NotEqual(t, int32(403), event.ResponseStatus.Code, "%s %s", what, event.RequestURI)
		if slices.Contains(named, event.ObjectRef.Resource) || (event.ObjectRef.Resource == "leases" && event.Verb != "create") {
			name := event.ObjectRef.Name
			if _, selected, ok := strings.Cut(event.RequestURI, "metadata.name%3D"); ok {
				name, _, _ = strings.Cut(selected, "&")
			}
			what += " " + name
		}
		seen[what] = true
		// An API server of an older version is listed first, and one that is busy may
		// ask for it (KEP-3157).
		if resource, ok := strings.CutPrefix(what, "watch "); ok {
			seen["list "+resource] = true
		}
	}
	require.NoError(t, lines.Err())
	var all []string
	for what := range seen {
		all = append(all, what)
	}
	slices.Sort(all)
	return all
}
