// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package callers

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/extauth-guard/extauth-guard/pkg/callers"
)

// refusal says what keeps the policy from being written for good.
type refusal string

// Error returns the sentence.
func (r refusal) Error() string { return string(r) }

func (c *Controller) policies(namespace string) dynamic.ResourceInterface {
	return c.options.Untyped.Resource(schema.GroupVersionResource{Group: callers.Group, Version: callers.Version, Resource: callers.Resource}).Namespace(namespace)
}

// store creates the policy, or corrects the one that the Service owns. It is true if
// something was written.
func (c *Controller) store(ctx context.Context, wanted callers.Wanted) (bool, error) {
	at, object := c.policies(wanted.Service.Namespace), &unstructured.Unstructured{Object: wanted.Object()}
	existing, err := at.Get(ctx, object.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = at.Create(ctx, object, metav1.CreateOptions{})
		return err == nil, written("creating", object, err)
	case err != nil:
		return false, fmt.Errorf("reading the AuthorizationPolicy %s: %w", object.GetName(), err)
	case existing.GetDeletionTimestamp() != nil:
		return false, fmt.Errorf("the AuthorizationPolicy %s is still being deleted", object.GetName())
	case !metav1.IsControlledBy(existing, &metav1.ObjectMeta{UID: wanted.UID}):
		return false, refusal(fmt.Sprintf("there is an AuthorizationPolicy %s that does not belong to the Service, and it is never taken over; rename or delete it", object.GetName()))
	case reflect.DeepEqual(existing.Object["spec"], object.Object["spec"]) && existing.GetLabels()[callers.Label] == callers.Manager:
		return false, nil
	}
	existing.Object["spec"] = object.Object["spec"]
	labels := existing.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[callers.Label] = callers.Manager
	existing.SetLabels(labels)
	_, err = at.Update(ctx, existing, metav1.UpdateOptions{})
	return err == nil, written("updating", object, err)
}

// written turns what the API server refused for good into a sentence.
func written(doing string, object *unstructured.Unstructured, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		return refusal("the API server refused the AuthorizationPolicy: " + err.Error())
	case apierrors.IsNotFound(err):
		return refusal("the cluster has no AuthorizationPolicies: install Istio")
	}
	return fmt.Errorf("%s the AuthorizationPolicy %s: %w", doing, object.GetName(), err)
}

// remove deletes the policy if the Service owns it. It is true if it was there.
func (c *Controller) remove(ctx context.Context, service *corev1.Service) (bool, error) {
	at, name := c.policies(service.Namespace), callers.NameFor(service.Name)
	existing, err := at.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the AuthorizationPolicy %s: %w", name, err)
	}
	if !metav1.IsControlledBy(existing, service) || existing.GetDeletionTimestamp() != nil {
		return false, nil
	}
	uid, version := existing.GetUID(), existing.GetResourceVersion()
	err = at.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("deleting the AuthorizationPolicy %s: %w", name, err)
	}
	return true, nil
}

// note cuts a text to the length up to which the API server takes the note of an
// event.
func note(text string) string {
	const longest = 1024
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest-3], "") + "…"
}
