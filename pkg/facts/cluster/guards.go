// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/facts"
)

// Guards takes what the watch of ExtAuthGuards sees. Both methods say whether
// verdicts may be others now.
type Guards interface {
	// Set takes one that is new or changed; fault is what made it unreadable, or nil.
	Set(guard *v1alpha1.ExtAuthGuard, fault *field.Error) (changed bool)
	// Remove takes the name of one that is gone.
	Remove(name types.NamespacedName) (changed bool)
}

// WatchGuards has the ExtAuthGuards of all namespaces watched, and each change told to
// guards first and then to the watchers of the world. It is to be called before Start.
// Like every other kind they have to be read once before the source has synced.
func (s *Source) WatchGuards(guards Guards) {
	resource := v1alpha1.GroupVersion.WithResource(v1alpha1.GuardResource)
	tell := func(name types.NamespacedName, changed bool) {
		s.world.Tell(facts.Change{Kind: facts.ExtAuthGuard, Name: name, All: changed})
	}
	s.feeds = append(s.feeds, newFeed(v1alpha1.GuardKind, untyped(s.live.untyped.Resource(resource)), example(resource, v1alpha1.GuardKind),
		guardValue,
		func(name types.NamespacedName, value readGuard) { tell(name, guards.Set(value.guard, value.fault)) },
		func(name types.NamespacedName) { tell(name, guards.Remove(name)) }))
}

// readGuard is an ExtAuthGuard, or what is left of one that cannot be read.
type readGuard struct {
	guard *v1alpha1.ExtAuthGuard
	fault *field.Error
}

// guardValue reads an ExtAuthGuard. Only another version of the CRD can let one through
// that does not decode.
func guardValue(object *unstructured.Unstructured) readGuard {
	guard := &v1alpha1.ExtAuthGuard{}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, guard)
	if err == nil {
		guard.ManagedFields = nil
		return readGuard{guard: guard}
	}
	guard = &v1alpha1.ExtAuthGuard{}
	guard.Namespace, guard.Name, guard.UID = object.GetNamespace(), object.GetName(), object.GetUID()
	guard.Generation, guard.ResourceVersion, guard.DeletionTimestamp = object.GetGeneration(), object.GetResourceVersion(), object.GetDeletionTimestamp()
	return readGuard{guard, field.Invalid(field.NewPath("spec"), "", "it cannot be read: "+err.Error())}
}
