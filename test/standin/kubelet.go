// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package standin stands in for what a control plane without nodes and without
// Kyma lacks: a kubelet that makes Deployments of oauth2-proxy ready, and Kyma's
// Istio module that copies authorizers into the mesh configuration. They are
// loops over the API and no more than the bootstrap job and the demo need.
package standin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/fakeoauth2proxy"
)

// round is the time between two looks of a stand-in.
const round = 50 * time.Millisecond

// Kubelet makes the Deployments of one namespace ready, and answers on its
// address as the newest of them would: it starts the fake of oauth2-proxy with the
// container's own arguments and with the environment from its Secret, so that a
// flag or a key that the proxy does not know fails here as it would in a Pod.
type Kubelet struct {
	server    *httptest.Server
	client    client.Client
	namespace string

	mu    sync.Mutex
	proxy http.Handler
	crash bool
}

// NewKubelet listens on the loopback, and answers with 503 until [Kubelet.Run]
// has found a Deployment. Close it.
func NewKubelet(c client.Client, namespace string) *Kubelet {
	k := &Kubelet{client: c, namespace: namespace}
	k.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		proxy := k.proxy
		k.mu.Unlock()
		if proxy == nil {
			http.Error(w, "no proxy is running", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	return k
}

// Address is host:port of what runs in the Pods.
func (k *Kubelet) Address() string {
	return strings.TrimPrefix(k.server.URL, "http://")
}

// Crash makes Pods crash from now on instead of becoming ready.
func (k *Kubelet) Crash() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.crash = true
}

// Run works until ctx ends. Errors are not reported: another round follows.
func (k *Kubelet) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) { _ = k.sync(ctx, k.client, k.namespace) }, round)
}

// Close stops listening.
func (k *Kubelet) Close() {
	k.server.Close()
}

func (k *Kubelet) sync(ctx context.Context, c client.Client, namespace string) error {
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

func (k *Kubelet) roll(ctx context.Context, c client.Client, deployment *appsv1.Deployment) error {
	k.mu.Lock()
	crash := k.crash
	k.mu.Unlock()
	proxy, err := k.start(context.WithoutCancel(ctx), c, deployment) // a Pod outlives the call that made it
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
func (k *Kubelet) start(ctx context.Context, c client.Client, deployment *appsv1.Deployment) (http.Handler, error) {
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
		if err := c.Get(ctx, key, &secret); err != nil {
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
	return fakeoauth2proxy.New(ctx, options, nil)
}

// fail leaves a Pod that waits in CrashLoopBackOff.
func (k *Kubelet) fail(ctx context.Context, c client.Client, deployment *appsv1.Deployment, cause error) error {
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
