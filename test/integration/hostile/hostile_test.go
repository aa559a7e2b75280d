// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile_test sends what strangers may send to the webhook binary as it
// ships, with the memory that the chart gives it, and asks it something right
// meanwhile.
package hostile_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/extauth-guard/extauth-guard/pkg/app/cli"
	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
	"github.com/extauth-guard/extauth-guard/test/harness/hostile"
	"github.com/extauth-guard/extauth-guard/test/harness/kyma"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

const (
	// memory is the limit of the chart in MiB, and goMemory what it tells Go.
	memory, goMemory = 256, "230MiB"
	// mapped is how much the process may map, in MiB, for the machine's sake: what Go
	// has given back is mapped still. What it uses is measured.
	mapped = 4 * memory
	// timeout is that of the webhooks.
	timeout = 3 * time.Second
)

// limited writes a script that runs the binary with the memory of the chart.
func limited(t *testing.T, directory, binary string) string {
	t.Helper()
	script := filepath.Join(directory, "limited.sh")
	text := fmt.Sprintf("#!/bin/sh\nulimit -d %d\nexport GOMEMLIMIT=%s\nexec %s \"$@\"\n", mapped<<10, goMemory, binary)
	require.NoError(t, os.WriteFile(script, []byte(text), 0o700))
	return script
}

func TestHostileInputs(t *testing.T) {
	directory := t.TempDir()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		CRDs: []string{checkout.Path(t, "pkg/crd/kyma"), checkout.Path(t, "config/crd/extauth-guard.io_extauthpolicies.yaml")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, plane.Stop()) })
	store(t, plane, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, `{apiVersion: v1, kind: Namespace, metadata: {name: kyma-system}}`)
	store(t, plane, schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"},
		`{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default, namespace: kyma-system},
		spec: {config: {authorizers: [{name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/v?o="}]}}}`)
	binary, err := guard.Build(t.Context(), directory)
	require.NoError(t, err)
	require.NoError(t, plane.WriteKubeconfig(filepath.Join(directory, "admin")))
	settings, err := guard.Settings(t.Context(), filepath.Join(directory, "tls"))
	require.NoError(t, err)
	run := func() *guard.Process {
		replica, err := guard.Run(t.Context(), limited(t, directory, binary), filepath.Join(directory, "admin"), directory, settings)
		require.NoError(t, err)
		return replica
	}
	replica := run()
	t.Cleanup(func() { replica.Stop() })
	stranger, other := newClient(t, settings, "127.0.0.1"), newClient(t, settings, "127.0.0.2")
	require.Eventually(t, func() bool { return other.right(t) == nil }, time.Minute, 20*time.Millisecond, "the Istio CR is read")

	peak := 0
	for _, input := range hostile.Inputs() {
		t.Run(input.Name, func(t *testing.T) {
			review, err := input.Review(input.Most)
			require.NoError(t, err)
			other.answersWhile(t, func(ctx context.Context) { stranger.sendAtOnce(ctx, 4, input.Path(), review) })
		})
	}
	for name, flood := range floods() {
		t.Run(name, func(t *testing.T) {
			other.answersWhile(t, func(ctx context.Context) { flood(ctx, t, stranger) })
		})
	}
	t.Run("what is stored", func(t *testing.T) {
		bomb := strings.Repeat(",", 200_000)
		store(t, plane, schema.GroupVersionResource{Version: "v1", Resource: "services"},
			`{apiVersion: v1, kind: Service, metadata: {name: bomb, namespace: default, annotations: {extauth-guard.io/authorizers: "`+bomb+`"}}, spec: {ports: [{port: 80}]}}`)
		store(t, plane, schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"},
			`{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: bomb, namespace: default, annotations: {extauth-guard.io/inject: "`+bomb+`"}},
			spec: {hosts: [bomb], gateway: kyma-system/kyma-gateway, service: {name: bomb, port: 80}, rules: [{path: /*, methods: [GET], noAuth: true}]}}`)
		other.answers(t)
		peak = peakMemory(t, replica.PID())
		replica.Stop()
		replica = run()
		require.Eventually(t, func() bool { return strings.Contains(replica.Log(), `"Leading"`) }, time.Minute, 20*time.Millisecond, "it leads, and looks at all that is stored")
		other.answers(t)
	})

	peak = max(peak, peakMemory(t, replica.PID()))
	t.Logf("%d families and %d floods: the slowest right answer took %s; peak memory %d MiB of %d", len(hostile.Inputs()), len(floods()), other.slowest.Round(time.Millisecond), peak, memory)
	assert.Less(t, peak, memory)
}

func store(t *testing.T, plane *controlplane.ControlPlane, resource schema.GroupVersionResource, text string) {
	t.Helper()
	client, err := dynamic.NewForConfig(plane.Config())
	require.NoError(t, err)
	object := kyma.Object(t, text)
	var at dynamic.ResourceInterface = client.Resource(resource)
	if namespace := object.GetNamespace(); namespace != "" {
		at = client.Resource(resource).Namespace(namespace)
	}
	_, err = at.Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
}

// sendAtOnce sends a review several times at once, and does not care for answers.
func (c *client) sendAtOnce(ctx context.Context, times int, path string, review []byte) {
	var all sync.WaitGroup
	for range times {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			_, _ = c.post(ctx, path, bytes.NewReader(review))
		})
	}
	all.Wait()
}

// The same inputs as files, which anybody may put into a repository that is linted. With
// the race detector, which makes it ten times as slow, a sample is measured.
func TestHostileFiles(t *testing.T) {
	for i, input := range hostile.Inputs() {
		if input.Raw != nil || raceDetector && i%8 != 0 {
			continue // no file of manifests, or not in the sample
		}
		t.Run(input.Name, func(t *testing.T) {
			n := max(input.N/4, 1)
			few, many := lint(t, input, n), lint(t, input, 4*n)
			assert.LessOrEqual(t, many, 5*few, "%d bytes for %d, %d for four times as many", few, n, many)
		})
	}
}

// lint returns how many bytes linting an input of a size allocates.
func lint(t *testing.T, input hostile.Input, n int) uint64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.json")
	raw, err := hostile.Manifest(input, n)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	return allocated(func() {
		var out bytes.Buffer
		_ = cli.Run(t.Context(), []string{"lint", file}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out}) // findings are an error
	})
}
