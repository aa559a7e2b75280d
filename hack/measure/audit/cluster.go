// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/extauth-guard/extauth-guard/test/harness/checkout"
	"github.com/extauth-guard/extauth-guard/test/harness/controlplane"
	"github.com/extauth-guard/extauth-guard/test/harness/guard"
)

// cluster is a control plane with many APIRules, of which none is open.
type cluster struct {
	plane   *controlplane.ControlPlane
	client  dynamic.Interface
	objects int
}

const (
	namespaces = 100
	writers    = 8
)

func resource(group, version, plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

func apirules() schema.GroupVersionResource {
	return resource("gateway.kyma-project.io", "v2", "apirules")
}

func policies() schema.GroupVersionResource {
	return resource("extauth-guard.io", "v1alpha1", "extauthpolicies")
}

func namespace(i int) string { return fmt.Sprintf("team-%d", i%namespaces) }
func name(i int) string      { return fmt.Sprintf("web-%d", i) }

const (
	istio = `{apiVersion: operator.kyma-project.io/v1alpha2, kind: Istio, metadata: {name: default}, spec: {config: {authorizers: [
  {name: oauth2-proxy, service: oauth2-proxy.auth.svc.cluster.local, port: 80, pathPrefix: "/verify?original="}]}}}`
	gateway = `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: kyma-gateway}, spec: {servers: [{hosts: ["*.kyma.example.com"]}]}}`
	policy  = `{apiVersion: extauth-guard.io/v1alpha1, kind: ExtAuthPolicy, metadata: {name: all}, spec: {mode: Audit,
  match: {namespaceSelector: {matchLabels: {exposure: public}}, hosts: ["*.kyma.example.com"]}, require: {authorizers: [oauth2-proxy]}}}`
	// Headless, because a control plane for tests has few addresses to give.
	service = `{apiVersion: v1, kind: Service, metadata: {name: %[1]s}, spec: {clusterIP: None, selector: {app: %[1]s}, ports: [{port: 80}]}}`
	apirule = `{apiVersion: gateway.kyma-project.io/v2, kind: APIRule, metadata: {name: %[1]s}, spec: {hosts: [%[1]s], gateway: kyma-system/kyma-gateway,
  service: {name: %[1]s, port: 80}, rules: [{path: "/api/{**}", methods: [GET], extAuth: {authorizers: [oauth2-proxy]}}, {path: "/{**}", methods: [POST], extAuth: {authorizers: [oauth2-proxy]}}]}}`
)

func fill(ctx context.Context, objects int) (_ *cluster, err error) {
	root, err := checkout.Root()
	if err != nil {
		return nil, err
	}
	crds := filepath.Join(root, "pkg", "crd", "kyma")
	c := &cluster{objects: objects}
	c.plane, err = controlplane.Start(ctx, controlplane.Options{CRDs: []string{crds, filepath.Join(root, "test", "testdata", "crds", "optional"), filepath.Join(root, "config", "crd")}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.plane.Stop() // the first error says more
		}
	}()
	config := c.plane.Config()
	config.QPS = -1
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if err := c.furnish(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range objects {
		group.Go(func() error {
			if err := c.create(ctx, resource("", "v1", "services"), namespace(i), fmt.Sprintf(service, name(i))); err != nil {
				return err
			}
			return c.create(ctx, apirules(), namespace(i), fmt.Sprintf(apirule, name(i)))
		})
	}
	return c, group.Wait()
}

// furnish creates what a cluster has besides APIRules and their Services.
func (c *cluster) furnish(ctx context.Context) error {
	names := []string{"kyma-system", "istio-system"}
	for i := range namespaces {
		names = append(names, namespace(i))
	}
	for _, one := range names {
		if err := c.create(ctx, resource("", "v1", "namespaces"), "", fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {exposure: public, istio-injection: enabled}}}`, one)); err != nil {
			return err
		}
	}
	if err := c.create(ctx, resource("operator.kyma-project.io", "v1alpha2", "istios"), "kyma-system", istio); err != nil {
		return err
	}
	if err := c.create(ctx, resource("networking.istio.io", "v1", "gateways"), "kyma-system", gateway); err != nil {
		return err
	}
	if err := c.create(ctx, policies(), "", policy); err != nil {
		return err
	}
	return nil
}

func (c *cluster) create(ctx context.Context, of schema.GroupVersionResource, namespace, manifest string) error {
	var content map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &content); err != nil {
		return err
	}
	_, err := c.client.Resource(of).Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	return err
}

// start runs the binary with all controllers, and with metrics.
func (c *cluster) start(ctx context.Context, binary, directory string) (*guard.Process, error) {
	kubeconfig := filepath.Join(directory, "kubeconfig")
	if err := c.plane.WriteKubeconfig(kubeconfig); err != nil {
		return nil, err
	}
	settings, err := guard.Settings(ctx, filepath.Join(directory, "tls"))
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	settings.Metrics.Address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return guard.Run(ctx, binary, kubeconfig, directory, settings)
}

// status is that of the policy.
type status struct {
	matched, violating int64
}

func (c *cluster) status(ctx context.Context) (status, error) {
	object, err := c.client.Resource(policies()).Get(ctx, "all", metav1.GetOptions{})
	if err != nil {
		return status{}, err
	}
	matched, _, _ := unstructured.NestedInt64(object.Object, "status", "matched")
	violating, _, _ := unstructured.NestedInt64(object.Object, "status", "violating")
	return status{matched, violating}, nil
}

func (c *cluster) await(ctx context.Context, done func(status) bool) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		now, err := c.status(ctx)
		return err == nil && done(now), err
	})
}

const (
	openPatch    = `[{"op":"remove","path":"/spec/rules/0/extAuth"},{"op":"add","path":"/spec/rules/0/noAuth","value":true}]`
	protectPatch = `[{"op":"remove","path":"/spec/rules/0/noAuth"},{"op":"add","path":"/spec/rules/0/extAuth","value":{"authorizers":["oauth2-proxy"]}}]`
)

// churn makes changes at a steady pace: each opens an APIRule or protects the one
// before. Every hundredth is timed until the status shows it.
func (c *cluster) churn(ctx context.Context, changes int, every time.Duration) ([]time.Duration, error) {
	pace := time.NewTicker(every)
	defer pace.Stop()
	timer, ctx := errgroup.WithContext(ctx)
	timed := make(chan time.Duration, changes)
	for i := range changes {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-pace.C:
		}
		patch, of := openPatch, i%c.objects
		if i%2 == 1 {
			patch, of = protectPatch, (i-1)%c.objects
		}
		if _, err := c.client.Resource(apirules()).Namespace(namespace(of)).Patch(ctx, name(of), types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			return nil, fmt.Errorf("changing an APIRule: %w", err)
		}
		if i%100 == 50 {
			timer.Go(func() error { return c.mark(ctx, i, timed) })
		}
	}
	err := timer.Wait()
	close(timed)
	var lags []time.Duration
	for lag := range timed {
		lags = append(lags, lag)
	}
	slices.Sort(lags)
	return lags, err
}

// mark adds an open APIRule of its own and times until the status counts it.
func (c *cluster) mark(ctx context.Context, i int, timed chan<- time.Duration) error {
	marker := fmt.Sprintf("marker-%d", i)
	begin := time.Now()
	if err := c.create(ctx, apirules(), namespace(i), fmt.Sprintf(apirule, marker)); err != nil {
		return err
	}
	want := int64(c.objects + i/100 + 1)
	if err := c.await(ctx, func(s status) bool { return s.matched >= want }); err != nil {
		return fmt.Errorf("waiting for the status to count %s: %w", marker, err)
	}
	timed <- time.Since(begin)
	return nil
}

// noise makes changes that no verdict depends on: the status of APIRules, as
// Kyma's controller writes it, and Services that no APIRule uses.
func (c *cluster) noise(ctx context.Context, changes int) error {
	group, parallel := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range changes {
		group.Go(func() error {
			if i%2 == 0 {
				return c.create(parallel, resource("", "v1", "services"), namespace(i), fmt.Sprintf(service, fmt.Sprintf("unused-%d", i)))
			}
			patch := `{"status":{"state":"Ready","description":"Reconciled successfully"}}`
			_, err := c.client.Resource(apirules()).Namespace(namespace(i)).Patch(parallel, name(i), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return settle(ctx)
}

// settle gives the watches time to deliver what was written, and the audit to
// look at it.
func settle(ctx context.Context) error {
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
