// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	guard "github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	m.Run()
}

// emptyCluster is an API server that has nothing, not even a kind.
func emptyCluster(t *testing.T) *rest.Config {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		answer.WriteHeader(http.StatusNotFound)
		_, err := answer.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
		assert.NoError(t, err)
	}))
	server.Config.SetKeepAlivesEnabled(false) // an idle connection is none of the manager's leaks
	server.Start()
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, Transport: &http.Transport{}}
}

func localSettings(t *testing.T) guard.WebhookConfig {
	t.Helper()
	settings := guard.DefaultWebhook()
	settings.Certificates = guard.Certificates{Mode: guard.CertificatesLocal, Directory: t.TempDir()}
	settings.Metrics.Address, settings.Server.Host = "0", "127.0.0.1"
	settings.LeaderElection.Namespace = "default"
	var ports []int
	for range 2 {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { require.NoError(t, listener.Close()) }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	settings.Server.Port, settings.Probes.Address = ports[0], net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1]))
	return settings
}

// get returns the status and the body of an answer; 0 if there was none.
func get(client *http.Client, url string) (int, string) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(body)
}

func TestShutdownGoesOnServingAndLeavesNothingBehind(t *testing.T) {
	cluster := emptyCluster(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	settings := localSettings(t)
	const delay = time.Second
	settings.Server.ShutdownDelay.Duration = delay
	manager, err := NewManager(cluster, settings, logr.Discard())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()

	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,                                  // each request needs an open port
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // whether it is served is the question
	}}
	ready, hook := "http://"+settings.Probes.Address+"/readyz", "https://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(settings.Server.Port))+"/validate-apirule"
	require.Eventually(t, func() bool { status, _ := get(client, ready); return status == http.StatusOK }, 30*time.Second, 5*time.Millisecond)
	status, body := get(client, hook)
	require.Equal(t, http.StatusOK, status, body)

	stopped := time.Now()
	stop()
	require.Eventually(t, func() bool { status, _ := get(client, ready); return status == http.StatusInternalServerError }, 30*time.Second, time.Millisecond)
	served := 0
	for len(ended) == 0 {
		status, body := get(client, hook)
		if time.Since(stopped) < delay {
			require.Equal(t, http.StatusOK, status, body)
			served++
		}
	}
	assert.Positive(t, served, "answered while unready")
	require.NoError(t, <-ended)
	// A connection that was being made when its request ended waits in the pool.
	cluster.Transport.(*http.Transport).CloseIdleConnections()
	assert.GreaterOrEqual(t, time.Since(stopped), delay)
	status, _ = get(client, hook)
	assert.Zero(t, status, "the port is closed")
}

func TestReadiness(t *testing.T) {
	var serving, synced error
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	probe := &readiness{serving: func(*http.Request) error { return serving }, synced: func() error { return synced }, log: log}
	assert.NoError(t, probe.check(nil))
	assert.NoError(t, probe.check(nil))
	serving = errors.New("not yet")
	assert.EqualError(t, probe.check(nil), "serving TLS: not yet")
	serving, synced = nil, errors.New("not read yet: [Istio]")
	assert.EqualError(t, probe.check(nil), "not read yet: [Istio]")
	synced = nil
	probe.drain()
	assert.EqualError(t, probe.check(nil), "stopping")
	assert.Equal(t, []string{
		`"level"=0 "msg"="Ready"`,
		`"level"=0 "msg"="Not ready" "reason"="serving TLS: not yet"`,
		`"level"=0 "msg"="Not ready" "reason"="not read yet: [Istio]"`,
		`"level"=0 "msg"="Not ready" "reason"="stopping"`,
	}, lines, "each reason once")
}

func TestAManagerThatCannotBeMade(t *testing.T) {
	settings := localSettings(t)
	settings.Certificates.Directory = "/dev/null/tls"
	_, err := NewManager(emptyCluster(t), settings, logr.Discard())
	assert.ErrorContains(t, err, "making a local certificate: making the certificate directory: ")

	_, err = NewManager(&rest.Config{Host: "http://[::1"}, localSettings(t), logr.Discard())
	assert.ErrorContains(t, err, "making the manager: ")
}

func TestAPortThatIsTakenEndsTheManager(t *testing.T) {
	settings := localSettings(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(settings.Server.Port))
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	manager, err := NewManager(emptyCluster(t), settings, logr.Discard())
	require.NoError(t, err)
	assert.ErrorContains(t, manager.Start(t.Context()), "address already in use")
}

func TestWorldInNumbers(t *testing.T) {
	world := facts.NewWorld("nobody has looked")
	assert.False(t, worldInNumbers(world).RegistryKnown)
	world.SetRegistry(policy.StaticRegistry("a test", []string{"a", "b"}))
	world.SetNamespace("shop", policy.Namespace{})
	numbers := worldInNumbers(world)
	assert.True(t, numbers.RegistryKnown)
	assert.Equal(t, 2, numbers.Authorizers)
	assert.Equal(t, 1, numbers.Objects["Namespace"])
}
