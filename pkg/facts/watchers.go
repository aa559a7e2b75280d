// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Kind is a kind of thing in the world.
type Kind string

// The kinds of things that a verdict depends on.
const (
	APIRule               Kind = "APIRule"
	Service               Kind = "Service"
	Namespace             Kind = "Namespace"
	Istio                 Kind = "Istio"
	AuthorizationPolicies Kind = "AuthorizationPolicy"
	Endpoints             Kind = "EndpointSlice"
	Proxies               Kind = "Deployment"
	// CallersPolicies are the AuthorizationPolicies that we make for callers inside
	// the mesh; a change has the name of the Service.
	CallersPolicies Kind = "CallersPolicy"
	// ExtAuthGuard is no part of the world: see [World.Tell].
	ExtAuthGuard Kind = "ExtAuthGuard"
)

// Change says that something in the world was added, changed or removed.
type Change struct {
	Kind Kind
	// Name is the name of the thing; its namespace is "" for what has none, and
	// all of it for the mesh configuration, which counts as [Istio].
	Name types.NamespacedName
	// Affected are the APIRules whose verdict may be another one now, in the
	// order of their names; none if All is true.
	Affected []types.NamespacedName
	// All is true if every APIRule may be affected.
	All bool
}

// watchers are told of changes.
type watchers struct {
	mu    sync.RWMutex
	next  int
	funcs map[int]func(Change)
}

// Subscribe has watcher called after each change that changes something, in the
// order of the changes of each thing, by the goroutine that made it: it must not
// wait, and it must not change the world. Who wants to hear of everything
// subscribes before the watches start. The function that is returned ends it;
// the watcher may still be running when that returns.
func (w *World) Subscribe(watcher func(Change)) (cancel func()) {
	w.watchers.mu.Lock()
	defer w.watchers.mu.Unlock()
	if w.watchers.funcs == nil {
		w.watchers.funcs = map[int]func(Change){}
	}
	id := w.watchers.next
	w.watchers.next++
	w.watchers.funcs[id] = watcher
	return func() {
		w.watchers.mu.Lock()
		defer w.watchers.mu.Unlock()
		delete(w.watchers.funcs, id)
	}
}

// Tell tells the watchers of a change outside the world on which verdicts depend.
func (w *World) Tell(change Change) {
	w.watchers.tell(change)
}

func (w *watchers) any() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.funcs) > 0
}

func (w *watchers) tell(change Change) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, watcher := range w.funcs {
		watcher(change)
	}
}
