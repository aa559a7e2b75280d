// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// crd asks for a conversion webhook that does not exist.
const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: probes.test.example.com}
spec:
  group: test.example.com
  names: {kind: Probe, plural: probes}
  scope: Cluster
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {url: "https://127.0.0.1:1/convert"}
  versions:
  - {name: v1, served: true, storage: true, schema: &any {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v2, served: true, storage: false, schema: *any}
`

// start starts a control plane whose folder is below a temporary directory of the
// test, which it returns too.
func start(t *testing.T, o Options) (*ControlPlane, string) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	return c, tmp
}

func clientset(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return cs
}

func createNamespace(t *testing.T, config *rest.Config, name string) {
	t.Helper()
	_, err := clientset(t, config).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func whoAmI(t *testing.T, config *rest.Config) authenticationv1.UserInfo {
	t.Helper()
	review, err := clientset(t, config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	require.NoError(t, err)
	return review.Status.UserInfo
}

// assertNobodyListens waits until nobody does: a program that was killed is not
// gone at once.
func assertNobodyListens(t *testing.T, address string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			assert.NoError(t, connection.Close())
		}
		return err != nil
	}, time.Minute, 50*time.Millisecond, "something still listens at %s", address)
}

// crashEnv makes this test binary a program that starts a control plane, prints
// the addresses of its two programs, and waits to be killed.
const crashEnv = "EXTAUTH_TEST_CRASH"

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	if os.Getenv(crashEnv) != "" {
		c, err := Start(context.Background(), Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(c.env.ControlPlane.GetAPIServer().HostPort(), c.env.ControlPlane.Etcd.URL.Host)
		select {}
	}
	m.Run()
}

func TestAProcessThatIsKilledLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	program := exec.CommandContext(t.Context(), os.Args[0])
	program.Env = append(os.Environ(), crashEnv+"=1", "TMPDIR="+tmp)
	out, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	addresses := strings.Fields(line)
	require.Len(t, addresses, 2, line)

	require.NoError(t, program.Process.Kill())
	require.Error(t, program.Wait())

	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(tmp)
		return err == nil && len(left) == 0
	}, time.Minute, 50*time.Millisecond, "files are left in %s", tmp)
	for _, address := range addresses {
		assertNobodyListens(t, address)
	}
}

func TestAControlPlaneServesAndThenLeavesNothing(t *testing.T) {
	crds := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(crds, "probes.yaml"), []byte(crd), 0o600))
	audit := filepath.Join(t.TempDir(), "audit.log")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	c, tmp := start(t, Options{CRDs: []string{crds}, AuditLog: audit})
	require.NoError(t, c.WriteKubeconfig(kubeconfig))

	kubectl := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), c.Kubectl(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}

	t.Run("kubectl reaches it, and a CRD that wants a conversion webhook is served without one", func(t *testing.T) {
		kubectl("{apiVersion: test.example.com/v2, kind: Probe, metadata: {name: one}}", "create", "-f", "-")
		assert.Equal(t, "test.example.com/v1", kubectl("", "get", "probes.v1.test.example.com", "one", "-o", "jsonpath={.apiVersion}"))
	})

	t.Run("a user is who it was made to be and may do nothing yet", func(t *testing.T) {
		config, err := c.AddUser("dora", "developers")
		require.NoError(t, err)
		who := whoAmI(t, config)
		assert.Equal(t, "dora", who.Username)
		assert.Contains(t, who.Groups, "developers")
		_, err = clientset(t, config).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "%v", err)
	})

	t.Run("a service account has the groups of one", func(t *testing.T) {
		who := whoAmI(t, c.AsServiceAccount("kyma-system", "api-gateway-controller-manager"))
		assert.Equal(t, "system:serviceaccount:kyma-system:api-gateway-controller-manager", who.Username)
		assert.Equal(t, []string{"system:serviceaccounts", "system:serviceaccounts:kyma-system", "system:authenticated"}, who.Groups)
	})

	t.Run("requests are audited once each", func(t *testing.T) {
		createNamespace(t, c.Config(), "audited")
		written, err := os.ReadFile(audit)
		require.NoError(t, err)
		events := 0
		for line := range strings.Lines(string(written)) {
			var event struct{ Verb, RequestURI string }
			require.NoError(t, json.Unmarshal([]byte(line), &event))
			if event.Verb == "create" && event.RequestURI == "/api/v1/namespaces" && strings.Contains(line, `"audited"`) {
				events++
			}
		}
		assert.Equal(t, 1, events)
	})

	t.Run("it listens on loopback only", func(t *testing.T) {
		assert.Equal(t, "127.0.0.1", c.env.ControlPlane.GetAPIServer().Address)
		assert.Equal(t, "127.0.0.1", c.env.ControlPlane.Etcd.URL.Hostname())
	})

	api, etcd := c.env.ControlPlane.GetAPIServer().HostPort(), c.env.ControlPlane.Etcd.URL.Host
	require.NoError(t, c.Stop())
	require.NoError(t, c.Stop(), "stopping twice")
	assertNobodyListens(t, api)
	assertNobodyListens(t, etcd)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
	require.ErrorContains(t, c.RestartAPIServer(t.Context()), "has been stopped")
}

func TestARestartedAPIServerKeepsItsAddressItsUsersAndItsData(t *testing.T) {
	c, _ := start(t, Options{})
	host := c.Config().Host
	user, err := c.AddUser("dora")
	require.NoError(t, err)
	createNamespace(t, c.Config(), "kept")
	// A manager has watches open all the time: they must not hold the restart up.
	watch, err := clientset(t, c.Config()).CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer watch.Stop()

	require.NoError(t, c.RestartAPIServer(t.Context()))

	assert.Equal(t, host, c.Config().Host)
	_, err = clientset(t, c.Config()).CoreV1().Namespaces().Get(t.Context(), "kept", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "dora", whoAmI(t, user).Username)
}

func TestSeveralControlPlanesDoNotMeet(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	type result struct {
		c   *ControlPlane
		err error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			c, err := Start(t.Context(), Options{})
			results <- result{c, err}
		}()
	}
	var both []*ControlPlane
	for range 2 {
		r := <-results
		if assert.NoError(t, r.err) {
			both = append(both, r.c)
			t.Cleanup(func() { assert.NoError(t, r.c.Stop()) })
		}
	}
	require.Len(t, both, 2)

	createNamespace(t, both[0].Config(), "only-here")

	_, err := clientset(t, both[1].Config()).CoreV1().Namespaces().Get(t.Context(), "only-here", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}

func TestAnAPIServerThatDoesNotStartIsQuotedAndLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)

	_, err := Start(t.Context(), Options{APIServerFlags: map[string][]string{"authorization-mode": {"Guess"}}})

	require.ErrorContains(t, err, `authorization-mode \"Guess\" is not a valid mode`)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAStartThatIsNotWantedAnyMoreLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := Start(ctx, Options{})

	require.ErrorIs(t, err, context.Canceled)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAMissingCRDIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")

	_, err := Start(t.Context(), Options{CRDs: []string{missing}})

	require.ErrorContains(t, err, missing)
}

func TestATailKeepsTheEndAndPassesEverythingOn(t *testing.T) {
	var all strings.Builder
	tl := &tail{next: &all}
	long := strings.Repeat("x", tailSize)

	for _, s := range []string{"gone", long[:len(long)-len("last")], "last"} {
		n, err := tl.Write([]byte(s))
		require.NoError(t, err)
		assert.Equal(t, len(s), n)
	}

	assert.Equal(t, long[:len(long)-len("last")]+"last", tl.String())
	assert.Equal(t, "gone"+long[:len(long)-len("last")]+"last", all.String())
}
