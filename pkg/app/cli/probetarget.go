// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/app/exit"
	"github.com/extauth-guard/extauth-guard/pkg/extauthz"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/probe"
)

// registered is an authorizer of the active Istio CR, reached through the API server.
func (f *probeFlags) registered(ctx context.Context, name string) (probe.Target, func(), error) {
	config, err := f.kube.config()
	if err != nil {
		return probe.Target{}, nil, exit.UsageError(fmt.Errorf("reading the kubeconfig: %w", err))
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return probe.Target{}, nil, fmt.Errorf("making a client: %w", err)
	}
	entry, raw, err := findAuthorizer(ctx, untyped, name)
	if err != nil {
		return probe.Target{}, nil, err
	}
	service, ok := entry.Backend()
	if !ok {
		return probe.Target{}, nil, fmt.Errorf("authorizer %q: %q is not the host of a Service of this cluster; probe it by its URL", name, entry.Service)
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return probe.Target{}, nil, fmt.Errorf("making a client: %w", err)
	}
	pod, port, err := readyPod(ctx, typed, service, entry.Port)
	if err != nil {
		return probe.Target{}, nil, fmt.Errorf("authorizer %q: %w", name, err)
	}
	address, stop, err := forward(ctx, config, service.Namespace, pod, port)
	if err != nil {
		return probe.Target{}, nil, err
	}
	authorizer := asEnvoyAsks(entry, raw)
	authorizer.Timeout = f.timeout
	return probe.Target{Authorizer: authorizer, Asker: extauthz.Asker{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}}, stop, nil
}

// findAuthorizer returns an entry of the active Istio CR as a view and as it is.
func findAuthorizer(ctx context.Context, client dynamic.Interface, name string) (istio.Authorizer, map[string]any, error) {
	object, err := activeIstio(ctx, client)
	if err != nil {
		return istio.Authorizer{}, nil, err
	}
	active := istio.Parse(object.Object)
	var names []string
	for _, entry := range active.Authorizers {
		names = append(names, entry.Name)
		if entry.Name != name {
			continue
		}
		entries, _, _ := unstructured.NestedSlice(object.Object, "spec", "config", "authorizers")
		raw, _ := entries[entry.Index].(map[string]any)
		return entry, raw, nil
	}
	return istio.Authorizer{}, nil, exit.UsageError(fmt.Errorf("authorizer %q is not registered in Istio CR %s/%s; there are: %s", name, active.Namespace, active.Name, strings.Join(names, ", ")))
}

// asEnvoyAsks has what the entry sends with a check.
func asEnvoyAsks(entry istio.Authorizer, raw map[string]any) extauthz.Authorizer {
	include, _, _ := unstructured.NestedStringSlice(raw, "headers", "inCheck", "include")
	add, _, _ := unstructured.NestedStringMap(raw, "headers", "inCheck", "add")
	timeout, _ := time.ParseDuration(entry.Timeout)
	return extauthz.Authorizer{
		Service: entry.Service, Port: int(entry.Port), PathPrefix: entry.PathPrefix, Timeout: timeout, IncludeHeaders: include, AddHeaders: add,
	}
}

// readyPod returns a Pod behind a Service and the container's port.
func readyPod(ctx context.Context, client kubernetes.Interface, name types.NamespacedName, port int64) (string, int32, error) {
	service, err := client.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return "", 0, fmt.Errorf("reading its Service: %w", err)
	}
	at := slices.IndexFunc(service.Spec.Ports, func(each corev1.ServicePort) bool { return int64(each.Port) == port })
	if at < 0 || len(service.Spec.Selector) == 0 {
		return "", 0, fmt.Errorf("the Service %s has no port %d or no selector", name, port)
	}
	pods, err := client.CoreV1().Pods(name.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String()})
	if err != nil {
		return "", 0, fmt.Errorf("listing its Pods: %w", err)
	}
	for _, pod := range pods.Items {
		if target := containerPort(pod, service.Spec.Ports[at]); target != 0 && isReady(pod) {
			return pod.Name, target, nil
		}
	}
	return "", 0, fmt.Errorf("no Pod behind the Service %s is ready", name)
}

func isReady(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(each corev1.PodCondition) bool {
		return each.Type == corev1.PodReady && each.Status == corev1.ConditionTrue
	})
}

func containerPort(pod corev1.Pod, port corev1.ServicePort) int32 {
	if port.TargetPort.StrVal == "" {
		if port.TargetPort.IntVal == 0 {
			return port.Port
		}
		return port.TargetPort.IntVal
	}
	for _, container := range pod.Spec.Containers {
		for _, each := range container.Ports {
			if each.Name == port.TargetPort.StrVal {
				return each.ContainerPort
			}
		}
	}
	return 0
}
