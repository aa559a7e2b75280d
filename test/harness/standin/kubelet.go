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
	"io"
	"net"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// round is the time between two looks of a stand-in.
const round = 50 * time.Millisecond

// Kubelet makes the Deployments of one namespace ready, and its address leads to
// what runs in their Pods, one connection after the other: real oauth2-proxies, as
// many as there are replicas, with the container's own arguments, environment and
// files. A flag or a key that the proxy does not know fails here as it would in a
// Pod.
type Kubelet struct {
	listener  net.Listener
	client    client.Client
	namespace string

	mu    sync.Mutex
	pods  *pods
	next  int
	crash bool
}

// NewKubelet listens on the loopback, and closes connections until [Kubelet.Run]
// has found a Deployment. Close it.
func NewKubelet(ctx context.Context, c client.Client, namespace string) (*Kubelet, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the proxy's Service: %w", err)
	}
	k := &Kubelet{listener: listener, client: c, namespace: namespace}
	go k.serve(context.WithoutCancel(ctx))
	return k, nil
}

// Address is host:port of what runs in the Pods.
func (k *Kubelet) Address() string { return k.listener.Addr().String() }

// Crash makes Pods crash from now on instead of becoming ready.
func (k *Kubelet) Crash() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.crash = true
}

// Log is what the newest Pods printed.
func (k *Kubelet) Log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods == nil {
		return ""
	}
	return k.pods.log()
}

// Run works until ctx ends. Errors are not reported: another round follows.
func (k *Kubelet) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) { _ = k.sync(ctx, k.client, k.namespace) }, round)
}

// Close stops listening and ends the Pods. Run must have returned.
func (k *Kubelet) Close() {
	_ = k.listener.Close()
	k.replace(nil)
}

func (k *Kubelet) serve(ctx context.Context) {
	for {
		conn, err := k.listener.Accept()
		if err != nil {
			return
		}
		go k.forward(ctx, conn)
	}
}

// forward copies bytes and knows no HTTP: the proxy sees what was sent.
func (k *Kubelet) forward(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	address := k.endpoint()
	if address == "" {
		return
	}
	pod, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = pod.Close() }()
	go func() {
		_, _ = io.Copy(pod, conn)
		_ = pod.Close()
	}()
	_, _ = io.Copy(conn, pod)
}

// endpoint takes turns; it is empty while nothing runs.
func (k *Kubelet) endpoint() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods == nil {
		return ""
	}
	k.next++
	return k.pods.replicas[k.next%len(k.pods.replicas)].Address()
}

// replace puts new Pods in the place of the old ones, and ends those.
func (k *Kubelet) replace(fresh *pods) {
	k.mu.Lock()
	old := k.pods
	k.pods = fresh
	k.mu.Unlock()
	if old != nil {
		old.stop()
	}
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
	if crash {
		return k.fail(ctx, c, deployment, nil)
	}
	fresh, err := startPods(ctx, c, deployment)
	if err != nil {
		return k.fail(ctx, c, deployment, err)
	}
	k.replace(fresh)
	before := deployment.DeepCopy()
	replicas := *deployment.Spec.Replicas
	deployment.Status = appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation, Replicas: replicas, UpdatedReplicas: replicas,
		ReadyReplicas: replicas, AvailableReplicas: replicas,
	}
	return c.Status().Patch(ctx, deployment, client.MergeFrom(before))
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
