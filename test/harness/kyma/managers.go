// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package kyma

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/extauth-guard/extauth-guard/test/harness/kyma/managers"
)

// Managers plays Kyma's two managers on a cluster, as package managers says what
// they do. Kinds that the cluster does not serve are passed over.
type Managers struct {
	Typed   kubernetes.Interface
	Untyped dynamic.Interface
	// Change, unless nil, changes the mesh configuration before it is written.
	Change func(mesh map[string]any)
}

// Managers returns the managers of the cluster. They do nothing until they are
// asked to.
func (c *Cluster) Managers() Managers {
	return Managers{Typed: c.Typed, Untyped: c.Untyped}
}

// Run plays both managers once per interval until ctx ends. Errors are tried again.
func (m Managers) Run(ctx context.Context, interval time.Duration) {
	_ = wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		_ = errors.Join(m.Istio(ctx), m.APIGateway(ctx)) // the next round tries again
		return false, nil
	})
}

func istios() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "operator.kyma-project.io", Version: "v1alpha2", Resource: "istios"}
}

func apirules() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "gateway.kyma-project.io", Version: "v2", Resource: "apirules"}
}

// made returns the kinds that the API Gateway manager writes.
func made() map[string]schema.GroupVersionResource {
	return map[string]schema.GroupVersionResource{
		"AuthorizationPolicy":   {Group: "security.istio.io", Version: "v1beta1", Resource: "authorizationpolicies"},
		"RequestAuthentication": {Group: "security.istio.io", Version: "v1beta1", Resource: "requestauthentications"},
		"VirtualService":        {Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"},
	}
}

// Istio plays the Istio manager once: it writes the mesh configuration of the oldest
// Istio CR, and the state of the CR.
func (m Managers) Istio(ctx context.Context) error {
	list, err := m.list(ctx, istios())
	if err != nil || len(list) == 0 {
		return err
	}
	cr := slices.MinFunc(list, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	mesh, err := managers.Mesh(cr)
	switch {
	case managers.Stopped(err):
		return nil // no state says so
	case err != nil:
		return m.status(ctx, istios(), cr, "Warning", err.Error())
	}
	if m.Change != nil {
		m.Change(mesh)
	}
	text, err := managers.MeshText(mesh)
	if err == nil {
		err = m.writeMesh(ctx, text)
	}
	if err != nil {
		return err
	}
	return m.status(ctx, istios(), cr, "Ready", "Reconciliation succeeded")
}

func (m Managers) writeMesh(ctx context.Context, text string) error {
	maps := m.Typed.CoreV1().ConfigMaps("istio-system")
	config, err := maps.Get(ctx, "istio", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		config = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": text}}
		_, err = maps.Create(ctx, config, metav1.CreateOptions{})
	case err == nil && config.Data["mesh"] != text:
		config.Data = map[string]string{"mesh": text}
		_, err = maps.Update(ctx, config, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("writing the mesh configuration: %w", err)
	}
	return nil
}

// APIGateway plays the API Gateway manager once: it writes what it makes of each
// APIRule, and its state, and deletes what belongs to APIRules that are gone.
func (m Managers) APIGateway(ctx context.Context) error {
	rules, err := m.list(ctx, apirules())
	if err != nil {
		return err
	}
	cluster, err := m.cluster(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, rule := range rules {
		if rule.GetDeletionTimestamp() != nil {
			continue
		}
		outcome, err := cluster.Reconcile(rule)
		if err == nil && len(outcome.Failures) == 0 {
			err = m.write(ctx, rule.GetNamespace(), rule.GetName(), outcome.Objects)
			cluster.VirtualServices = append(cluster.VirtualServices, managers.ClusterOf(outcome.Objects).VirtualServices...)
		}
		if err == nil {
			err = m.status(ctx, apirules(), rule, outcome.State(), outcome.Description())
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, m.deleteOrphans(ctx, rules))...)
}

// cluster reads what the API Gateway manager looks at.
func (m Managers) cluster(ctx context.Context) (managers.Cluster, error) {
	var objects []unstructured.Unstructured
	for _, resource := range []schema.GroupVersionResource{
		corev1.SchemeGroupVersion.WithResource("services"),
		corev1.SchemeGroupVersion.WithResource("pods"),
		corev1.SchemeGroupVersion.WithResource("configmaps"),
		{Group: "networking.istio.io", Version: "v1beta1", Resource: "gateways"},
		made()["VirtualService"],
	} {
		list, err := m.list(ctx, resource)
		if err != nil {
			return managers.Cluster{}, err
		}
		objects = append(objects, list...)
	}
	return managers.ClusterOf(objects), nil
}

// list returns all objects of a resource; none if it is not served.
func (m Managers) list(ctx context.Context, resource schema.GroupVersionResource) ([]unstructured.Unstructured, error) {
	list, err := m.Untyped.Resource(resource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource.Resource, err)
	}
	return list.Items, nil
}

// write makes the objects of an APIRule what they should be, and deletes its others.
func (m Managers) write(ctx context.Context, namespace, name string, want []unstructured.Unstructured) error {
	owner := fmt.Sprintf("%s=%s,%s=%s", managers.OwnerName, name, managers.OwnerNamespace, namespace)
	var errs []error
	for kind, resource := range made() {
		list, err := m.Untyped.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: owner})
		if err != nil {
			errs = append(errs, ignoreNotFound(err))
			continue
		}
		for _, object := range want {
			if object.GetKind() == kind {
				errs = append(errs, m.writeOne(ctx, resource, list.Items, object))
			}
		}
		for _, actual := range list.Items {
			if at(want, actual) < 0 {
				errs = append(errs, ignoreNotFound(m.Untyped.Resource(resource).Namespace(actual.GetNamespace()).Delete(ctx, actual.GetName(), metav1.DeleteOptions{})))
			}
		}
	}
	return errors.Join(errs...)
}

func (m Managers) writeOne(ctx context.Context, resource schema.GroupVersionResource, actual []unstructured.Unstructured, want unstructured.Unstructured) error {
	client := m.Untyped.Resource(resource).Namespace(want.GetNamespace())
	known := at(actual, want)
	if known < 0 {
		_, err := client.Create(ctx, &want, metav1.CreateOptions{})
		return err
	}
	if reflect.DeepEqual(actual[known].Object["spec"], want.Object["spec"]) {
		return nil
	}
	changed := actual[known].DeepCopy()
	changed.Object["spec"] = want.Object["spec"]
	_, err := client.Update(ctx, changed, metav1.UpdateOptions{})
	return err
}

// at returns the position of the object of that kind and name, or -1.
func at(objects []unstructured.Unstructured, of unstructured.Unstructured) int {
	return slices.IndexFunc(objects, func(one unstructured.Unstructured) bool {
		return one.GetKind() == of.GetKind() && one.GetNamespace() == of.GetNamespace() && one.GetName() == of.GetName()
	})
}

// deleteOrphans deletes what belongs to none of rules.
func (m Managers) deleteOrphans(ctx context.Context, rules []unstructured.Unstructured) error {
	exists := map[string]bool{}
	for _, rule := range rules {
		exists[rule.GetNamespace()+"/"+rule.GetName()] = true
	}
	var errs []error
	for _, resource := range made() {
		list, err := m.Untyped.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: managers.OwnerName})
		if err != nil {
			errs = append(errs, ignoreNotFound(err))
			continue
		}
		for _, object := range list.Items {
			if labels := object.GetLabels(); !exists[labels[managers.OwnerNamespace]+"/"+labels[managers.OwnerName]] {
				errs = append(errs, ignoreNotFound(m.Untyped.Resource(resource).Namespace(object.GetNamespace()).Delete(ctx, object.GetName(), metav1.DeleteOptions{})))
			}
		}
	}
	return errors.Join(errs...)
}

// status writes state and description, if they are others than before.
func (m Managers) status(ctx context.Context, resource schema.GroupVersionResource, of unstructured.Unstructured, state, description string) error {
	before, _, _ := unstructured.NestedString(of.Object, "status", "state")
	words, _, _ := unstructured.NestedString(of.Object, "status", "description")
	if before == state && words == description {
		return nil
	}
	patch := fmt.Sprintf(`{"status":{"state":%q,"description":%q}}`, state, strings.ReplaceAll(description, "\n", "; "))
	_, err := m.Untyped.Resource(resource).Namespace(of.GetNamespace()).Patch(ctx, of.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("writing the status of %s %s/%s: %w", of.GetKind(), of.GetNamespace(), of.GetName(), err)
	}
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
