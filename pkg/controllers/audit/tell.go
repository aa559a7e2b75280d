// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// ReasonCompliant is the reason of the event on an APIRule that is right again.
const ReasonCompliant = "Compliant"

// maxNote is the length up to which the API server takes the note of an event.
const maxNote = 1024

// tell makes events of what became wrong with an APIRule, one for each code, or
// of nothing being wrong any more.
func (c *Controller) tell(seen outcome) {
	after := seen.after
	if after == nil {
		return
	}
	var old []string
	if seen.before != nil {
		old = seen.before.grave
	}
	introduced := map[policy.Code][]string{}
	for _, one := range seen.grave {
		if !slices.Contains(old, faultOf(one)) {
			introduced[one.Code] = append(introduced[one.Code], one.Err.Error())
		}
	}
	about := &corev1.ObjectReference{
		APIVersion: apirule.Group + "/v2", Kind: apirule.Kind, Namespace: seen.name.Namespace, Name: seen.name.Name, UID: seen.uid,
	}
	for code, notes := range introduced {
		slices.Sort(notes)
		note := notes[0]
		if len(notes) > 1 {
			note = fmt.Sprintf("%s, and %d more", shorten(note, maxNote-32), len(notes)-1)
		}
		c.options.Recorder.Eventf(about, nil, corev1.EventTypeWarning, string(code), "Audit", "%s", shorten(note, maxNote))
	}
	if len(old) > 0 && len(after.grave) == 0 {
		c.options.Recorder.Eventf(about, nil, corev1.EventTypeNormal, ReasonCompliant, "Audit", "%s", "what the audit found before is right now")
	}
}

// writeStatuses writes the status of each policy that is not as it should be.
func (c *Controller) writeStatuses(ctx context.Context, found summary) error {
	var errs []error
	for name, status := range found.statuses {
		raw, err := json.Marshal(status)
		if err != nil {
			return fmt.Errorf("encoding the status of the ExtAuthPolicy %s: %w", name, err)
		}
		if c.written[name] == string(raw) {
			continue
		}
		if err := c.writeStatus(ctx, name, status); err != nil {
			errs = append(errs, fmt.Errorf("writing the status of the ExtAuthPolicy %s: %w", name, err))
			continue
		}
		c.written[name] = string(raw)
	}
	for name := range c.written {
		if _, exists := found.statuses[name]; !exists {
			delete(c.written, name)
		}
	}
	return errors.Join(errs...)
}

// writeStatus writes a status over that of the object, with the version that was
// read: a leader that lost its Lease meanwhile loses here, too.
func (c *Controller) writeStatus(ctx context.Context, name string, status *v1alpha1.ExtAuthPolicyStatus) error {
	policies := c.options.Untyped.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource))
	object, err := policies.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	typed := &v1alpha1.ExtAuthPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		return err
	}
	wanted := status.DeepCopy()
	wanted.Conditions = typed.Status.DeepCopy().Conditions
	for _, condition := range status.Conditions {
		meta.SetStatusCondition(&wanted.Conditions, condition)
	}
	if object.GetGeneration() != status.ObservedGeneration || equality.Semantic.DeepEqual(*wanted, typed.Status) {
		return nil // of another generation the watch is about to tell
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedMap(object.Object, content, "status"); err != nil {
		return err
	}
	_, err = policies.UpdateStatus(ctx, object, metav1.UpdateOptions{})
	return err
}
