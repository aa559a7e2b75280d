// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/fakeoauth2proxy"
)

// standInKubelet makes the Deployments of one namespace ready, and answers on its
// address as the newest of them would: it starts the fake of oauth2-proxy with the
// container's own arguments and with the environment from its Secret, so that a
// flag or a key that the proxy does not know fails here as it would in a Pod.
type standInKubelet struct {
	address string

	mu    sync.Mutex
	proxy http.Handler
	crash bool
}

// startKubelet runs until the test ends.
func startKubelet(t *testing.T, c client.Client, namespace string) *standInKubelet {
	t.Helper()
	k := &standInKubelet{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		proxy := k.proxy
		k.mu.Unlock()
		if proxy == nil {
			http.Error(w, "no proxy is running", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	k.address = strings.TrimPrefix(server.URL, "http://")
	loop(t, func(ctx context.Context) error { return k.sync(ctx, c, namespace) })
	return k
}

// crashing makes Pods crash instead of becoming ready.
func (k *standInKubelet) crashing() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.crash = true
}

func (k *standInKubelet) sync(ctx context.Context, c client.Client, namespace string) error {
	var deployments appsv1.DeploymentList
	if err := c.List(ctx, &deployments, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range deployments.Items {
		deployment := &deployments.Items[i]
		if deployment.Status.ObservedGeneration == deployment.Generation && deployment.Status.AvailableReplicas == *deployment.Spec.Replicas {
			continue
		}
		if err := k.roll(ctx, c, deployment); err != nil {
			return err
		}
	}
	return nil
}

func (k *standInKubelet) roll(ctx context.Context, c client.Client, deployment *appsv1.Deployment) error {
	k.mu.Lock()
	crash := k.crash
	k.mu.Unlock()
	proxy, err := k.start(c, deployment) //nolint:contextcheck // A Pod outlives the call that made it.
	if crash || err != nil {
		return k.fail(ctx, c, deployment, err)
	}
	k.mu.Lock()
	k.proxy = proxy
	k.mu.Unlock()
	before := deployment.DeepCopy()
	replicas := *deployment.Spec.Replicas
	deployment.Status = appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation, Replicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	return c.Status().Patch(ctx, deployment, client.MergeFrom(before))
}

// start runs what the Deployment's container would.
func (k *standInKubelet) start(c client.Client, deployment *appsv1.Deployment) (http.Handler, error) {
	container := deployment.Spec.Template.Spec.Containers[0]
	environment := map[string]string{}
	for _, env := range container.Env {
		if env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil {
			environment[env.Name] = env.Value
			continue
		}
		ref := env.ValueFrom.SecretKeyRef
		var secret corev1.Secret
		key := types.NamespacedName{Namespace: deployment.Namespace, Name: ref.Name}
		if err := c.Get(context.Background(), key, &secret); err != nil {
			return nil, err
		}
		if secret.Data[ref.Key] == nil {
			return nil, fmt.Errorf("couldn't find key %s in Secret %s", ref.Key, key)
		}
		environment[env.Name] = string(secret.Data[ref.Key])
	}
	options, err := fakeoauth2proxy.ParseOptions(container.Args, func(name string) string { return environment[name] })
	if err != nil {
		return nil, err
	}
	return fakeoauth2proxy.New(context.Background(), options, nil)
}

// fail leaves a Pod that waits in CrashLoopBackOff.
func (k *standInKubelet) fail(ctx context.Context, c client.Client, deployment *appsv1.Deployment, cause error) error {
	seen := deployment.DeepCopy()
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1, UnavailableReplicas: 1}
	if err := c.Status().Patch(ctx, deployment, client.MergeFrom(seen)); err != nil {
		return err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: deployment.Namespace, Name: deployment.Name + "-crashing", Labels: deployment.Spec.Template.Labels,
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "oauth2-proxy", Image: "x"}}},
	}
	if err := c.Create(ctx, pod); err != nil {
		return client.IgnoreAlreadyExists(err)
	}
	before := pod.DeepCopy()
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "oauth2-proxy", RestartCount: 3,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: fmt.Sprintf("back-off 40s restarting failed container (%v)", cause),
		}},
	}}
	return c.Status().Patch(ctx, pod, client.MergeFrom(before))
}

// loop calls step until the test ends. Errors are not the test's: another round
// follows.
func loop(t *testing.T, step func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = step(ctx)
			}
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// closedPort is an address on loopback where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
