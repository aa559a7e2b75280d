// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/pkg/facts"
)

// labelledProxy selects the Deployments that the chart of oauth2-proxy makes, and
// those of others that follow Kubernetes' recommended labels.
const labelledProxy = "app.kubernetes.io/name=oauth2-proxy"

// proxyFeed reads the Deployments of oauth2-proxy and leaves all others to the API
// server.
func proxyFeed(client kubernetes.Interface, world *facts.World) *feed {
	in := func(namespace string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
		return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = labelledProxy
			return client.AppsV1().Deployments(namespace).List(ctx, options)
		}
	}
	from := lister{
		list: in(metav1.NamespaceAll), in: in,
		watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = labelledProxy
			return client.AppsV1().Deployments(metav1.NamespaceAll).Watch(ctx, options)
		},
	}
	return newFeed("Deployment", from, &appsv1.Deployment{}, facts.ProxyOf, world.SetProxy, world.DeleteProxy)
}
