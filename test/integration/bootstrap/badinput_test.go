// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/helm"
	"github.com/extauth-guard/extauth-guard/test/harness/oidcprovider"
	"github.com/extauth-guard/extauth-guard/test/harness/standin"
	"github.com/extauth-guard/extauth-guard/test/harness/testcharts"
)

// TestBadInput has what users get wrong, and the sentence that each of them gets.
func TestBadInput(t *testing.T) {
	cases := map[string]struct {
		arrange  func(t *testing.T, s *scene)
		wantStep string
		want     []string
		wantExit int
	}{
		"an issuer that cannot be reached": {
			func(t *testing.T, s *scene) { s.set(t, "issuer.url", "http://"+closedPort(t)) },
			"preflight",
			[]string{"issuer unreachable", "connection refused"},
			exit.Blocked,
		},
		"an issuer with a slash too many": {
			func(t *testing.T, s *scene) { s.set(t, "issuer.url", s.provider.Issuer()+"/") },
			"preflight",
			[]string{"ends with a slash", "remove the slash"},
			exit.Blocked,
		},
		"an issuer that calls itself something else": {
			func(_ *testing.T, s *scene) {
				s.provider.SetFlaws(oidcprovider.Flaws{DocumentIssuer: "https://else.example.com"})
			},
			"preflight",
			[]string{`says the issuer is "https://else.example.com"`, "set the issuer to the provider's own"},
			exit.Blocked,
		},
		"no client-credentials grant": {
			func(_ *testing.T, s *scene) { s.provider.SetFlaws(oidcprovider.Flaws{NoClientCredentials: true}) },
			"preflight",
			[]string{"no client_credentials grant", "allow the client_credentials grant at the provider"},
			exit.Blocked,
		},
		"a wrong client secret": {
			func(t *testing.T, s *scene) {
				s.setSecret(t, map[string]string{"client-id": clientID, "client-secret": "wrong-secret"})
			},
			"preflight",
			[]string{"invalid_client"},
			exit.Blocked,
		},
		"tokens that the proxy refuses": {
			func(_ *testing.T, s *scene) {
				s.provider.SetFlaws(oidcprovider.Flaws{Token: oidcprovider.TokenFlaws{NoAudience: true}})
			},
			"verify",
			[]string{"client-credentials token (GET /): the authorizer answered 401", "401: aud is missing", "let the provider set the audience"},
			exit.Timeout,
		},
		"tokens that the proxy forbids": {
			func(t *testing.T, s *scene) {
				s.set(t, "proxy.emailDomains", []any{"corp.com"})
			},
			"verify",
			[]string{"403: the proxy takes the token and a rule of its own forbids it: proxy.emailDomains [\"corp.com\"]", "is judged by its sub"},
			exit.Timeout,
		},
		"a sign-in that would not come back": {
			func(t *testing.T, s *scene) {
				s.codeFlow(t)
				s.set(t, "proxy.trustedProxyIPs", []any{"127.0.0.6/32"})
			},
			"verify",
			[]string{`the sign-in would end at "/verify?rd=&original=/", wanted "https://extauth-guard-verify.example.com/"`, "proxy.trustedProxyIPs (now 127.0.0.6/32)"},
			exit.Timeout,
		},
		"no Secret": {
			func(t *testing.T, s *scene) { s.set(t, "credentials.name", "nowhere") },
			"preflight",
			[]string{"Secret default/nowhere does not exist; create it with `kubectl create secret generic nowhere --namespace default"},
			exit.Blocked,
		},
		"an empty Secret": {
			func(t *testing.T, s *scene) { s.setSecret(t, map[string]string{"client-id": clientID}) },
			"preflight",
			[]string{"key client-secret of Secret default/", "is missing or empty; set it to what the issuer gave you"},
			exit.Blocked,
		},
		"the chart's placeholder": {
			func(t *testing.T, s *scene) {
				s.setSecret(t, map[string]string{"client-id": "XXXXXXX", "client-secret": "XXXXXXXX"})
			},
			"preflight",
			[]string{"key client-id of Secret default/", "is a placeholder", "; key client-secret"},
			exit.Blocked,
		},
		"a cookie secret of a wrong length": {
			func(t *testing.T, s *scene) {
				s.ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
				s.ensure(t, &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: s.namespace, Name: "oauth2-proxy-credentials",
						Labels: map[string]string{"app.kubernetes.io/managed-by": "extauth-guard-bootstrap"},
					},
					StringData: map[string]string{"cookie-secret": "too-short"},
				})
			},
			"preflight",
			[]string{"is not 16, 24 or 32 bytes", "remove that key to have a new one made"},
			exit.Blocked,
		},
		"somebody else's Secret of the proxy's name": {
			func(t *testing.T, s *scene) {
				s.ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
				s.ensure(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "oauth2-proxy-credentials"}})
			},
			"preflight",
			[]string{"was not made by this job; remove it, or set another proxy.secretName"},
			exit.Blocked,
		},
		"an Istio CR that stopped because of a duplicate": {
			func(t *testing.T, s *scene) {
				newIstioCR(t, s.client, "authorizers: [{name: corp, port: 1}, {name: corp, port: 2}]")
				require.Eventually(t, func() bool { return standin.ReconcileIstio(t.Context(), s.client) == nil }, eventually, tick)
			},
			"preflight",
			[]string{`spec.config.authorizers[1] of the Istio CR kyma-system/default repeats the authorizer name "corp"`, "Warning", "Authorizer name needs to be unique: corp is duplicated", "remove one of the two"},
			exit.Blocked,
		},
		"no Istio CR": {
			func(t *testing.T, s *scene) {
				require.NoError(t, s.client.Delete(t.Context(), s.istio(t)))
			},
			"preflight",
			[]string{"there is no Istio CR in kyma-system; create one"},
			exit.Blocked,
		},
		"our authorizer name taken by somebody else": {
			func(t *testing.T, s *scene) {
				newIstioCR(t, s.client, "authorizers: [{name: oauth2-proxy, service: mine.example.com, port: 80}]")
			},
			"preflight",
			[]string{`is named "oauth2-proxy" and points to "mine.example.com"`, "or set another authorizer.name"},
			exit.Blocked,
		},
		"a name that a built-in provider has": {
			func(t *testing.T, s *scene) { s.set(t, "authorizer", map[string]any{"name": "kyma-logs"}) },
			"effective",
			[]string{`the mesh has a provider "kyma-logs" that is no HTTP authorizer`, "set another authorizer.name"},
			exit.Blocked,
		},
		"another archive than the pinned one": {
			func(t *testing.T, s *scene) { s.set(t, "proxy.chart.digest", "sha256:"+strings.Repeat("0", 64)) },
			"preflight",
			[]string{"chart digest differs", "find out who changed it before you change the pin"},
			exit.Blocked,
		},
		"somebody else's release": {
			func(t *testing.T, s *scene) { s.foreignRelease(t) },
			"preflight",
			[]string{"was not installed by this job; it is never adopted", "helm uninstall oauth2-proxy"},
			exit.Blocked,
		},
		"Pods that crash": {
			func(t *testing.T, s *scene) {
				s.kubelet.Crash()
				s.set(t, "timeouts.step", "6s")
			},
			"proxy",
			[]string{
				`Waiting for deployment "oauth2-proxy" rollout to finish`, "Pod oauth2-proxy-crashing: container oauth2-proxy waits, CrashLoopBackOff: back-off 40s",
				"the step's 6s are over (timeouts.step)",
			},
			exit.Timeout,
		},
		"a flag that the proxy does not know": {
			func(t *testing.T, s *scene) {
				s.set(t, "proxy.extraValues", map[string]any{"extraArgs": map[string]any{"upstream-typo": "x"}})
			},
			"proxy",
			[]string{"CrashLoopBackOff", "unknown flag: --upstream-typo"},
			exit.Timeout,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if tc.wantExit == exit.Timeout {
				s.set(t, "timeouts.step", "6s") // enough for Helm to create what then never gets ready
			}
			if tc.wantExit == exit.Timeout && tc.wantStep != "proxy" {
				s.set(t, "timeouts.step", "15s") // the real proxy has to start first
			}
			tc.arrange(t, s)
			installed := s.releaseStatus(t)
			before := s.everythingOfIstio(t)
			got := s.run(t)
			require.Error(t, got.err)
			assert.Equal(t, tc.wantExit, exit.Code(got.err), got.err.Error())
			assert.Equal(t, tc.wantStep, got.order[len(got.order)-1], got.err.Error())
			for _, want := range tc.want {
				assert.ErrorContains(t, got.err, want)
			}
			if tc.wantStep == "preflight" {
				assert.Equal(t, installed, s.releaseStatus(t), "something was installed before it was known")
				plan := s.run(t, "--dry-run")
				assert.Equal(t, exit.Blocked, exit.Code(plan.err), "a dry run says so as well")
			}
			if tc.wantStep != "effective" && tc.wantStep != "verify" {
				assert.Equal(t, before, s.everythingOfIstio(t))
			}
			assert.NotContains(t, got.stdout+got.stderr+got.err.Error(), secretCore)
			assert.Contains(t, got.termination, `"exitCode":`)
		})
	}
}

func TestTheOldestOfTwoIstioCRsCounts(t *testing.T) {
	s := newScene(t)
	// Creation times have seconds; of two equally old ones the later in the list
	// counts, and that is by name.
	createIstioCR(t, s.client, "another", "")
	got := s.run(t)
	require.NoError(t, got.err, got.stdout)
	assert.Contains(t, got.steps["preflight"].Message, "the oldest of 2; Kyma ignores the others, remove them")
	assert.NotNil(t, s.ours(t))
}

func TestMissingPermissionsAreAllListedAtOnce(t *testing.T) {
	s := newScene(t)
	// A user who may ask what it may, keep the lock, and nothing else.
	s.ensure(t, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "powerless"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"*"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create", "update"}},
		},
	})
	s.ensure(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "powerless"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "powerless"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "powerless"}},
	})
	user, err := plane.AddUser("powerless")
	require.NoError(t, err)
	s.kubeconfig = writeKubeconfig(t, user)

	got := s.run(t)
	require.Error(t, got.err)
	assert.Equal(t, exit.Blocked, exit.Code(got.err))
	for _, want := range []string{
		"this ServiceAccount may not ", "create namespaces", "get secrets", "patch istios.operator.kyma-project.io in kyma-system",
		"create deployments.apps in " + s.namespace, "get gateways.networking.istio.io kyma-gateway in kyma-system", "get pods/log in " + s.namespace,
		"; add these rules to its Role or ClusterRole",
	} {
		assert.ErrorContains(t, got.err, want)
	}
	assert.NotContains(t, got.err.Error(), "get configmaps istio in istio-system")
}

func TestWrongUsageTouchesNothing(t *testing.T) {
	s := newScene(t)
	cases := map[string]struct {
		arrange func(t *testing.T)
		more    []string
		want    string
	}{
		"an unknown field":       {func(t *testing.T) { s.set(t, "proxxy", "x") }, nil, `unknown field "proxxy"`},
		"an impossible setting":  {func(t *testing.T) { delete(s.config, "proxxy"); s.set(t, "callback", map[string]any{"host": "a.b.cd"}) }, nil, "callback.host: Forbidden"},
		"an unknown flag":        {func(*testing.T) {}, []string{"--client-secret=x"}, "unknown flag: --client-secret"},
		"a stray argument":       {func(*testing.T) {}, []string{"run", "now"}, `unknown command "now"`},
		"an unknown output":      {func(*testing.T) { delete(s.config, "callback") }, []string{"--output=xml"}, `--output "xml" is none of auto, text, json`},
		"a kubeconfig not there": {func(*testing.T) {}, []string{"--kubeconfig=/nowhere"}, "finding the cluster"},
	}
	for _, name := range []string{"an unknown field", "an impossible setting", "an unknown flag", "a stray argument", "an unknown output", "a kubeconfig not there"} {
		t.Run(name, func(t *testing.T) {
			tc := cases[name]
			tc.arrange(t)
			got := s.run(t, tc.more...)
			require.ErrorContains(t, got.err, tc.want)
			assert.Equal(t, exit.Usage, exit.Code(got.err))
			assert.Empty(t, got.order)
		})
	}
}

// foreignRelease installs a release of the proxy's name as somebody else.
func (s *scene) foreignRelease(t *testing.T) {
	t.Helper()
	s.ensure(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})
	c, err := helm.New(plane.Config(), s.namespace, "somebody-else", logDiscard())
	require.NoError(t, err)
	chart, err := helm.Load(t.Context(), helm.Source{Repository: testcharts.Folder(t), Name: testcharts.Name, Version: testcharts.Version}, helm.Fetcher{})
	require.NoError(t, err)
	_, err = c.Ensure(t.Context(), helm.Release{Name: "oauth2-proxy", Chart: chart})
	require.NoError(t, err)
}

func writeKubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	raw, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
			Impersonate: config.Impersonate.UserName, ImpersonateGroups: config.Impersonate.Groups,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	return path
}
