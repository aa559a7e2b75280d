// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package callers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
)

// gatewayAPILabel is on the Pods that Istio runs for a Gateway of the Gateway API.
const gatewayAPILabel = "gateway.networking.k8s.io/gateway-name"

// gatewaysOf returns the identities of the Pods that Gateways select, whatever their
// namespace, in order. Everybody may run an ingress gateway of their own, and what any
// of them passes on comes from outside.
func gatewaysOf(ctx context.Context, typed kubernetes.Interface, untyped dynamic.Interface) ([]annotation.Caller, error) {
	resource := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"}
	list, err := untyped.Resource(resource).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("listing Gateways: %w", err)
	}
	selectors := map[string]bool{gatewayAPILabel: true}
	if list != nil {
		for _, gateway := range list.Items {
			selector, _, _ := unstructured.NestedStringMap(gateway.Object, "spec", "selector")
			if len(selector) > 0 {
				selectors[labels.Set(selector).AsSelector().String()] = true
			}
		}
	}
	found := map[annotation.Caller]bool{}
	for selector := range selectors {
		if err := addIdentities(ctx, typed, selector, found); err != nil {
			return nil, err
		}
	}
	gateways := make([]annotation.Caller, 0, len(found))
	for one := range found {
		gateways = append(gateways, one)
	}
	slices.SortFunc(gateways, func(a, b annotation.Caller) int { return strings.Compare(a.String(), b.String()) })
	return gateways, nil
}

func addIdentities(ctx context.Context, typed kubernetes.Interface, selector string, to map[annotation.Caller]bool) error {
	pods, err := typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("listing the Pods of ingress gateways: %w", err)
	}
	for _, pod := range pods.Items {
		if hasSidecar(pod.Spec) {
			continue
		}
		account := pod.Spec.ServiceAccountName
		if account == "" {
			account = "default"
		}
		to[annotation.Caller{Namespace: pod.Namespace, ServiceAccount: account}] = true
	}
	return nil
}

// hasSidecar is true for a Pod whose proxy is that of an application. A Gateway may
// select any Pod by its labels, and istiod configures only those whose proxy is no
// sidecar: else whoever may write a Gateway could keep somebody else's callers out.
func hasSidecar(pod corev1.PodSpec) bool {
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for _, one := range containers {
			if one.Name == "istio-proxy" && slices.Contains(one.Args, "sidecar") {
				return true
			}
		}
	}
	return false
}
