// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// prepare makes what requests refer to: namespaces with a Service each, an
// authorizer that answers, and the Istio CR and the mesh that know it, among as
// many others as asked for.
func (p *plane) prepare(ctx context.Context, scenarios []scenario, authorizers int) error {
	for _, name := range []string{"kyma-system", "istio-system", "auth"} {
		if err := p.namespace(ctx, name); err != nil {
			return err
		}
	}
	if err := p.authorizers(ctx, authorizers); err != nil {
		return err
	}
	for _, one := range scenarios {
		if err := p.namespace(ctx, one.namespace()); err != nil {
			return err
		}
		if err := p.service(ctx, one.namespace(), "app"); err != nil {
			return err
		}
		if !one.update {
			continue
		}
		if _, err := p.send(ctx, http.MethodPost, fmt.Sprintf(apirulePath, one.namespace()), "application/json",
			apirule(one.namespace(), existing, "app", one.rule, one.asks)); err != nil {
			return err
		}
	}
	return nil
}

func (p *plane) namespace(ctx context.Context, name string) error {
	return p.create(ctx, "/api/v1/namespaces", corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio-injection": "enabled"}},
	})
}

func (p *plane) service(ctx context.Context, namespace, name string) error {
	return p.create(ctx, "/api/v1/namespaces/"+namespace+"/services", corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, // the address range of the control plane is small
			Selector:  map[string]string{"app": name},
			Ports:     []corev1.ServicePort{{Name: "http", Port: 80}},
		},
	})
}

func (p *plane) authorizers(ctx context.Context, count int) error {
	const proxy = "oauth2-proxy"
	if err := p.service(ctx, "auth", proxy); err != nil {
		return err
	}
	if err := p.create(ctx, "/apis/discovery.k8s.io/v1/namespaces/auth/endpointslices", discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta:  metav1.ObjectMeta{Name: proxy + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: proxy}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}},
	}); err != nil {
		return err
	}
	var entries []any
	var mesh strings.Builder
	mesh.WriteString("extensionProviders:\n")
	for i := range count {
		name := proxy
		if i > 0 {
			name = fmt.Sprintf("authorizer-%d", i)
		}
		host := name + ".auth.svc.cluster.local"
		entries = append(entries, map[string]any{"name": name, "service": host, "port": 80, "pathPrefix": "/verify?original="})
		fmt.Fprintf(&mesh, "- name: %s\n  envoyExtAuthzHttp: {service: %s, port: 80, pathPrefix: \"/verify?original=\"}\n", name, host)
	}
	if err := p.create(ctx, "/apis/operator.kyma-project.io/v1alpha2/namespaces/kyma-system/istios", map[string]any{
		"apiVersion": "operator.kyma-project.io/v1alpha2", "kind": "Istio",
		"metadata": map[string]any{"name": "default", "namespace": "kyma-system"},
		"spec":     map[string]any{"config": map[string]any{"authorizers": entries}},
	}); err != nil {
		return err
	}
	return p.create(ctx, "/api/v1/namespaces/istio-system/configmaps", corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "istio"},
		Data:       map[string]string{"mesh": mesh.String()},
	})
}

// perNamespace is how many APIRules share a namespace in the large cluster.
const perNamespace = 100

// populate adds the objects numbered from to to: an APIRule with five protected
// rules and its Service each.
func (p *plane) populate(ctx context.Context, from, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := from; i < to; i++ {
		namespace := fmt.Sprintf("shop-%d", i/perNamespace)
		if i%perNamespace == 0 {
			if err := p.namespace(ctx, namespace); err != nil {
				return err
			}
		}
		group.Go(func() error {
			name := fmt.Sprintf("app-%d", i)
			if err := p.service(ctx, namespace, name); err != nil {
				return err
			}
			_, err := p.send(ctx, http.MethodPost, fmt.Sprintf(apirulePath, namespace), "application/json",
				apirule(namespace, name, name, protected, true))
			return err
		})
	}
	return group.Wait()
}
