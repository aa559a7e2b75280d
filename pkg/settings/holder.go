// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// Package settings holds the choices that are in force: those of the configuration
// file, and over them those of the one ExtAuthGuard that counts.
//
// It has no client. Whoever decides asks it each time, and reads one pointer.
package settings

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/extauth-guard/extauth-guard/pkg/apis/v1alpha1"
	"github.com/extauth-guard/extauth-guard/pkg/config"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// Holder holds the choices that are in force. Make it with [New]. All methods may be
// called by several goroutines at once. Values that it is given or gives are not
// changed by either side.
type Holder struct {
	file    config.WebhookConfig
	current atomic.Pointer[inForce]

	mu     sync.Mutex
	guards map[types.NamespacedName]*v1alpha1.ExtAuthGuard
	faults map[types.NamespacedName]field.ErrorList
	// applied is the last valid policy of the one that counts; nil without one.
	applied *v1alpha1.GuardPolicy
}

// New returns a holder of what a valid configuration says.
func New(file config.WebhookConfig) *Holder {
	h := &Holder{file: file, guards: map[types.NamespacedName]*v1alpha1.ExtAuthGuard{}, faults: map[types.NamespacedName]field.ErrorList{}}
	h.store(file.Policy)
	return h
}

// Settings returns the settings of this moment. It never waits.
func (h *Holder) Settings() policy.Settings {
	return h.current.Load().settings
}

// ForeignNames is true if answers and events name objects of other namespaces now. It
// never waits.
func (h *Holder) ForeignNames() bool {
	return h.current.Load().names == config.NamesFull
}

// Counts is true for the name of the one ExtAuthGuard that has an effect.
func (h *Holder) Counts(name types.NamespacedName) bool {
	return name == types.NamespacedName{Namespace: h.file.Module.Namespace, Name: v1alpha1.GuardName}
}

// Set adds or replaces an ExtAuthGuard, and says whether other settings are in force
// now. A fault is what made it unreadable; nil if nothing did. One that is not valid
// changes no setting; while this holder has seen no valid one, the policy in its
// status counts.
func (h *Holder) Set(guard *v1alpha1.ExtAuthGuard, fault *field.Error) (changed bool) {
	name := types.NamespacedName{Namespace: guard.Namespace, Name: guard.Name}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guards[name] = guard
	all, errs := over(h.file.Policy, guard.Spec.Policy)
	if fault != nil {
		errs = field.ErrorList{fault}
	}
	h.faults[name] = errs
	if !h.Counts(name) {
		return false
	}
	wanted := guard.Spec.Policy
	if len(errs) > 0 {
		if h.applied != nil || guard.Status.Policy == nil {
			return false
		}
		wanted = *guard.Status.Policy
		if all, errs = over(h.file.Policy, wanted); len(errs) > 0 {
			return false
		}
	}
	h.applied = &wanted
	return h.store(all)
}

// Remove forgets an ExtAuthGuard, and says whether other settings are in force now:
// those of the configuration file. One that is not there is not an error.
func (h *Holder) Remove(name types.NamespacedName) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.guards, name)
	delete(h.faults, name)
	if !h.Counts(name) {
		return false
	}
	h.applied = nil
	return h.store(h.file.Policy)
}

// store puts a policy in force, and says whether it is another one.
func (h *Holder) store(choices config.WebhookPolicy) (changed bool) {
	file := h.file
	file.Policy = choices
	next := of(file)
	before := h.current.Load()
	if before != nil && reflect.DeepEqual(*before, next) {
		return false
	}
	h.current.Store(&next)
	return true
}

// Guard is an ExtAuthGuard as it was taken.
type Guard struct {
	Object *v1alpha1.ExtAuthGuard
	// Counts is true for the one that has an effect.
	Counts bool
	// Faults are what is wrong with its spec; nil if nothing is.
	Faults field.ErrorList
	// Applied is the last valid policy; nil where there was none, or Counts is false.
	Applied *v1alpha1.GuardPolicy
}

// Guards returns all ExtAuthGuards in the order of their namespaces and names.
func (h *Holder) Guards() []Guard {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := slices.SortedFunc(maps.Keys(h.guards), func(a, b types.NamespacedName) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	all := make([]Guard, 0, len(names))
	for _, name := range names {
		one := Guard{Object: h.guards[name], Counts: h.Counts(name), Faults: h.faults[name]}
		if one.Counts {
			one.Applied = h.applied
		}
		all = append(all, one)
	}
	return all
}
