// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/pkg/bootstrap"
)

// injectionLabel makes Istio inject sidecars into the namespace's Pods. The
// proxy needs one: the mesh insists on mutual TLS between workloads.
const injectionLabel = "istio-injection"

// namespace is the proxy's namespace.
type namespace struct{ Environment }

// Name is "namespace".
func (*namespace) Name() string { return "namespace" }

// Observe looks for the namespace and its label.
func (n *namespace) Observe(ctx context.Context) (bootstrap.Observation, error) {
	found, err := n.get(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case found == nil:
		return needed("Absent", "namespace %s is to be created", n.Config.Proxy.Namespace), nil
	case found.DeletionTimestamp != nil:
		return blocked("Terminating", "namespace %s is being deleted; wait until it is gone, then run again", found.Name), nil
	case found.Labels[injectionLabel] != "enabled":
		return needed("NoInjection", "namespace %s is to be labelled %s=enabled", found.Name, injectionLabel), nil
	}
	return done("Ready", "namespace %s, %s=enabled", found.Name, injectionLabel), nil
}

// Apply creates or labels it. Only a namespace that the job created carries its
// mark.
func (n *namespace) Apply(ctx context.Context) error {
	found, err := n.get(ctx)
	if err != nil {
		return err
	}
	if found == nil {
		created := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name:   n.Config.Proxy.Namespace,
			Labels: map[string]string{managedBy: Owner, injectionLabel: "enabled"},
		}}
		if err := n.Client.Create(ctx, created); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating namespace %s: %w", created.Name, err)
		}
		return nil
	}
	before := found.DeepCopy()
	if found.Labels == nil {
		found.Labels = map[string]string{}
	}
	found.Labels[injectionLabel] = "enabled"
	if err := n.Client.Patch(ctx, found, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("labelling namespace %s: %w", found.Name, err)
	}
	return nil
}

// ObserveUndo says Needed for a namespace that the job made and that holds
// nothing of anybody else.
func (n *namespace) ObserveUndo(ctx context.Context) (bootstrap.Observation, error) {
	found, err := n.get(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case found == nil:
		return done("Absent", "namespace %s is gone", n.Config.Proxy.Namespace), nil
	case found.DeletionTimestamp != nil:
		return done("Terminating", "namespace %s is being deleted", found.Name), nil
	case !ours(found):
		return done("Kept", "namespace %s was there before and is kept", found.Name), nil
	}
	foreign, err := n.foreign(ctx)
	switch {
	case err != nil:
		return bootstrap.Observation{}, err
	case len(foreign) > 0:
		return done("Kept", "namespace %s is kept for %s", found.Name, strings.Join(foreign, ", ")), nil
	}
	return needed("Present", "namespace %s is to be deleted", found.Name), nil
}

// Undo deletes it.
func (n *namespace) Undo(ctx context.Context) error {
	gone := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Config.Proxy.Namespace}}
	if err := n.Client.Delete(ctx, gone); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting namespace %s: %w", gone.Name, err)
	}
	return nil
}

// get returns the namespace, or nil.
func (n *namespace) get(ctx context.Context) (*corev1.Namespace, error) {
	var found corev1.Namespace
	err := n.Client.Get(ctx, client.ObjectKey{Name: n.Config.Proxy.Namespace}, &found)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading namespace %s: %w", n.Config.Proxy.Namespace, err)
	}
	return &found, nil
}

// rootCertificates are in every namespace, put there by Kubernetes and by Istio.
var rootCertificates = map[string]bool{"kube-root-ca.crt": true, "istio-ca-root-cert": true}

// foreign names what deleting the namespace would take along. By the time that
// this is asked the job's own objects are gone or on their way.
func (n *namespace) foreign(ctx context.Context) ([]string, error) {
	var names []string
	for _, kind := range []string{"ConfigMap", "Secret", "Service", "PersistentVolumeClaim", "Pod"} {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind + "List"))
		if err := n.Client.List(ctx, &list, client.InNamespace(n.Config.Proxy.Namespace)); err != nil {
			return nil, fmt.Errorf("looking what namespace %s holds: %w", n.Config.Proxy.Namespace, err)
		}
		for _, item := range list.Items {
			leaving := item.DeletionTimestamp != nil || item.Labels["app.kubernetes.io/instance"] == n.Config.Proxy.Release
			if !leaving && !ours(&item) && (kind != "ConfigMap" || !rootCertificates[item.Name]) {
				names = append(names, kind+" "+item.Name)
			}
		}
	}
	return names, nil
}
