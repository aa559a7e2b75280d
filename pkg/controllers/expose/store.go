// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package expose

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/annotation"
	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/expose"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// store creates the APIRule, or updates the one that the Service owns.
func (c *Controller) store(ctx context.Context, wanted expose.Request, host string, object map[string]any) error {
	existing, err := c.apirules(wanted.Service.Namespace).Get(ctx, wanted.Service.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if err := c.claim(wanted, host); err != nil {
			return err
		}
		_, err = c.apirules(wanted.Service.Namespace).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
		return refusal("creating", wanted, err)
	case err != nil:
		return fmt.Errorf("reading the APIRule %s: %w", wanted.Service, err)
	case existing.GetDeletionTimestamp() != nil:
		return fmt.Errorf("the APIRule %s is still being deleted", wanted.Service)
	case !metav1.IsControlledBy(existing, &metav1.ObjectMeta{UID: wanted.UID}):
		return expose.Refuse("there is an APIRule %s that does not belong to the Service, and it is never taken over; rename or delete it, or remove the annotation", wanted.Service)
	}
	spec, _ := prune(existing.Object["spec"]).(map[string]any)
	if reflect.DeepEqual(normal(spec), normal(object["spec"])) {
		return c.claim(wanted, host)
	}
	if err := c.claim(wanted, host); err != nil {
		return err
	}
	existing.Object["spec"] = object["spec"]
	annotations := existing.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, (&unstructured.Unstructured{Object: object}).GetAnnotations())
	existing.SetAnnotations(annotations)
	_, err = c.apirules(wanted.Service.Namespace).Update(ctx, existing, metav1.UpdateOptions{})
	return refusal("updating", wanted, err)
}

// refusal turns what the API server refused for good into a sentence; everything
// else may pass.
func refusal(doing string, wanted expose.Request, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		return expose.Refuse("the API server refused the APIRule: %s", err.Error())
	case apierrors.IsNotFound(err):
		return expose.Refuse("the cluster has no APIRules of the version v2: install Kyma's API Gateway module")
	}
	return fmt.Errorf("%s the APIRule %s: %w", doing, wanted.Service, err)
}

// claim takes a host for a Service, or says who has it. Kyma takes the first of
// two APIRules with one host and puts the other in Error (Kyma api-gateway 3.10,
// "Host is occupied by another Virtual Service").
func (c *Controller) claim(wanted expose.Request, host string) error {
	if holder, held := c.claims[host]; held && holder != wanted.Service {
		return c.taken(wanted, host, "Service", holder)
	}
	if kind, by := c.exposedBy(host, wanted.Service); kind != "" {
		return c.taken(wanted, host, kind, by)
	}
	maps.DeleteFunc(c.claims, func(_ string, holder types.NamespacedName) bool { return holder == wanted.Service })
	c.claims[host] = wanted.Service
	return nil
}

// exposedBy names what exposes a host already, besides the APIRule self; its kind is
// "" if nothing does.
func (c *Controller) exposedBy(host string, self types.NamespacedName) (kind string, name types.NamespacedName) {
	world := c.options.World
	for _, view := range world.APIRules() {
		if view.NamespacedName() == self || view.Deleting {
			continue
		}
		domain := world.GatewayDomain(view.Gateway)
		if slices.ContainsFunc(view.Hosts, func(other string) bool { return policy.FullHost(other, domain) == host }) {
			return apirule.Kind, view.NamespacedName()
		}
	}
	for _, service := range world.VirtualServices() {
		if len(service.Gateways) > 0 && slices.Contains(service.Hosts, host) {
			return "VirtualService", service.NamespacedName
		}
	}
	return "", types.NamespacedName{}
}

// taken says who has a host: by name only to somebody of the same namespace, if
// that was chosen. The log has the name.
func (c *Controller) taken(wanted expose.Request, host, kind string, by types.NamespacedName) error {
	somebody := fmt.Sprintf("the %s %s", kind, by)
	if !c.options.ForeignNames() && by.Namespace != wanted.Service.Namespace {
		c.options.Log.V(1).Info("A host is taken", "host", host, "service", wanted.Service.String(), "by", kind+" "+by.String())
		somebody = policy.Unnamed(kind)
	}
	return expose.Refuse("the host %s is taken by %s; choose another one", host, somebody)
}

// remove deletes the APIRule if the Service owns it.
func (c *Controller) remove(ctx context.Context, name types.NamespacedName, owner types.UID) (bool, error) {
	existing, err := c.apirules(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the APIRule %s: %w", name, err)
	}
	if !metav1.IsControlledBy(existing, &metav1.ObjectMeta{UID: owner}) || existing.GetDeletionTimestamp() != nil {
		return false, nil
	}
	uid, version := existing.GetUID(), existing.GetResourceVersion()
	err = c.apirules(name.Namespace).Delete(ctx, name.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("deleting the APIRule %s: %w", name, err)
	}
	return true, nil
}

// maxNote is the length up to which the API server takes the note of an event.
const maxNote = 1024

// say makes an event of a sentence and writes it on the APIRule, if there is one, if
// it is not what was said last. A leader that is new reads on the APIRule what the
// one before it said.
func (c *Controller) say(ctx context.Context, service *corev1.Service, eventType, reason, text string) error {
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote-3], "") + "…"
	}
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	view, exists := c.options.World.APIRule(name)
	owned := exists && ownedBy(view, name.Name)
	written := owned && view.Annotations[annotation.ExposeStatus] == text
	if c.said[name] != text && !written {
		c.options.Recorder.Eventf(service, nil, eventType, reason, "Expose", "%s", text)
	}
	c.said[name] = text
	if !owned || written {
		return nil
	}
	return c.annotate(ctx, name, text)
}

// annotate writes on the APIRule of a Service what became of the request.
func (c *Controller) annotate(ctx context.Context, name types.NamespacedName, text string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation.ExposeStatus: text}}})
	if err != nil {
		return fmt.Errorf("encoding the annotation: %w", err)
	}
	_, err = c.apirules(name.Namespace).Patch(ctx, name.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("annotating the APIRule %s: %w", name, err)
	}
	return nil
}

func join(names []string) string {
	return strings.Join(names, ", ")
}

// prune takes away what is null: Kyma's conversion adds "noAuth: null".
func prune(value any) any {
	switch typed := value.(type) {
	case map[string]any:
		for key, entry := range typed {
			if entry == nil {
				delete(typed, key)
				continue
			}
			typed[key] = prune(entry)
		}
	case []any:
		for i := range typed {
			typed[i] = prune(typed[i])
		}
	}
	return value
}

// normal gives a decoded value the types that JSON decodes to, for a comparison.
func normal(value any) any {
	raw, err := json.Marshal(value)
	if err != nil {
		return value
	}
	var decoded any
	if json.Unmarshal(raw, &decoded) != nil {
		return value
	}
	return decoded
}
