// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// IstioKey names the Istio CR that the stand-in reads.
func IstioKey() types.NamespacedName {
	return types.NamespacedName{Namespace: "kyma-system", Name: "default"}
}

// MeshKey names the ConfigMap that it writes.
func MeshKey() types.NamespacedName {
	return types.NamespacedName{Namespace: "istio-system", Name: "istio"}
}

// IstioGVK is the kind of the Istio CR.
func IstioGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "operator.kyma-project.io", Version: "v1alpha2", Kind: "Istio"}
}

// RunIstioModule does, until ctx ends, what Kyma's Istio module does with
// authorizers: it copies them into the mesh configuration, or stops with a
// Warning if a name is there twice (Kyma istio,
// internal/validation/validation.go).
func RunIstioModule(ctx context.Context, c client.Client) {
	wait.UntilWithContext(ctx, func(ctx context.Context) { _ = ReconcileIstio(ctx, c) }, round)
}

// ReconcileIstio does one round of [RunIstioModule].
func ReconcileIstio(ctx context.Context, c client.Client) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(IstioGVK())
	if err := c.Get(ctx, IstioKey(), object); err != nil {
		return err
	}
	made, err := managers.Mesh(*object)
	switch {
	case managers.Stopped(err):
		return nil // no state says so
	case err != nil:
		return setState(ctx, c, object, "Warning", err.Error())
	}
	mesh, err := managers.MeshText(made)
	if err != nil {
		return err
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: MeshKey().Namespace, Name: MeshKey().Name}}
	err = c.Get(ctx, MeshKey(), configMap)
	configMap.Data = map[string]string{"mesh": mesh}
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, configMap)
	case err == nil:
		err = c.Update(ctx, configMap)
	}
	if err != nil {
		return err
	}
	return setState(ctx, c, object, "Ready", "Istio installation succeeded")
}

func setState(ctx context.Context, c client.Client, object *unstructured.Unstructured, state, description string) error {
	if have, _, _ := unstructured.NestedString(object.Object, "status", "state"); have == state {
		return nil
	}
	before := object.DeepCopy()
	object.Object["status"] = map[string]any{"state": state, "description": description}
	return c.Status().Patch(ctx, object, client.MergeFrom(before))
}
