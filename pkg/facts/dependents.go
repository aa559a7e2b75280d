// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"iter"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/istio"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// maxAffected is how many APIRules a change lists before it says "all".
const maxAffected = 1000

// edit is one change of the world.
type edit struct {
	change Change
	// same is true if the world is like that already; nil is never. Watches
	// deliver much that means nothing here, such as every status.
	same func() bool
	// wide is false if no APIRule but the changed one is affected; nil is true.
	wide  func() bool
	apply func()
}

// edit applies a change under the lock and tells the watchers after it, with the
// APIRules whose verdict may depend on it: those that did before, and those that
// do now.
func (w *World) edit(e edit) {
	if !w.applied(&e) {
		return
	}
	if e.change.Kind == APIRule {
		w.recent.Load().shown(e.change.Name)
	}
	w.watchers.tell(e.change)
}

// applied applies a change under the lock, and says whom it affects if somebody watches. It
// is false if nothing changed.
func (w *World) applied(e *edit) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.same != nil && e.same() {
		return false
	}
	if !w.watchers.any() {
		e.apply()
		return true
	}
	wide := e.wide == nil || e.wide()
	found := &affected{}
	w.addAffected(found, e.change, wide)
	e.apply()
	w.addAffected(found, e.change, wide)
	e.change.Affected, e.change.All = found.list(), found.all
	return true
}

// affected is a set of APIRules, or all of them.
type affected struct {
	names map[types.NamespacedName]bool
	all   bool
}

func (a *affected) add(names iter.Seq[types.NamespacedName]) {
	for name := range names {
		if a.all {
			return
		}
		a.one(name)
	}
}

func (a *affected) one(name types.NamespacedName) {
	if a.names == nil {
		a.names = make(map[types.NamespacedName]bool, 1)
	}
	a.names[name] = true
	a.all = a.all || len(a.names) > maxAffected
}

func (a *affected) list() []types.NamespacedName {
	if a.all {
		return nil
	}
	return slices.SortedFunc(maps.Keys(a.names), compareNames)
}

// addAffected adds the APIRules whose verdict depends on a thing as the world is
// now. The caller holds mu.
func (w *World) addAffected(found *affected, change Change, wide bool) {
	switch change.Kind {
	case APIRule:
		found.one(change.Name)
		if wide {
			view, _ := w.apirules.get(change.Name)
			for service := range servicesOf(view) {
				w.addSharing(found, service)
			}
			w.addHolders(found, w.hostsOfView(view))
		}
	case Service:
		w.addSharing(found, change.Name)
		w.addFronted(found, change.Name)
	case Namespace:
		found.add(maps.Keys(w.references.byNamespace[change.Name.Name]))
	case Gateway:
		w.addExposedAt(found, change.Name.String())
	case AuthorizationPolicies:
		w.addActedOn(found, change.Name)
	case Endpoints:
		w.addFronted(found, change.Name)
	case Istio, ExtAuthPolicy, Proxies:
		found.all = true
	case VirtualService:
		w.addHolders(found, w.exposedBy(change.Name))
	case CallersPolicies, ExtAuthGuard: // the first decides nothing, and whoever tells of the second knows
	}
}

// addExposedAt adds the APIRules of a Gateway, and those that have their hosts too.
func (w *World) addExposedAt(found *affected, gateway string) {
	w.atGateway(gateway, func(view apirule.View) {
		found.one(view.NamespacedName())
		w.addHolders(found, w.hostsOfView(view))
	})
}

// atGateway calls use for the APIRules of a Gateway. Gateways change rarely.
func (w *World) atGateway(gateway string, use func(apirule.View)) {
	for _, view := range w.apirules {
		if view.Gateway == gateway {
			use(*view)
		}
	}
}

// addSharing adds the APIRules that use a Service or one that shares its Pods.
func (w *World) addSharing(found *affected, service types.NamespacedName) {
	found.add(slices.Values(w.references.byService[service]))
	known, _ := w.services.get(service)
	for _, one := range w.workloads.sharing(service.Namespace, known.Selector) {
		for _, other := range one.services {
			found.add(slices.Values(w.references.byService[other]))
		}
	}
}

// addActedOn adds the APIRules to whose workloads a policy may matter. One that Kyma made
// does if its APIRule does not explain it any more.
func (w *World) addActedOn(found *affected, name types.NamespacedName) {
	if _, byHand := w.policies[name]; byHand {
		found.all = found.all || name.Namespace == istio.MeshNamespace
		found.add(maps.Keys(w.references.byNamespace[name.Namespace]))
	}
	one := w.made[name]
	if one == nil || !w.stale(one, name.Namespace) {
		return
	}
	for _, near := range w.workloads.sharing(name.Namespace, one.at.selector) {
		for _, service := range near.services {
			found.add(slices.Values(w.references.byService[service]))
		}
	}
}

// addFronted adds the APIRules that name an authorizer whose Service that is.
func (w *World) addFronted(found *affected, service types.NamespacedName) {
	registry := w.Registry()
	if registry.Behind(service) == "" {
		return
	}
	for _, name := range registry.Names() {
		authorizer, _ := registry.Authorizer(name)
		if backend, known := authorizer.Backend(); known && backend == service {
			for user := range w.users.byAuthorizer[name] {
				found.one(user)
			}
		}
	}
}

// references is an index of all APIRules, protected or not.
type references struct {
	byService   map[types.NamespacedName]sortedNames // mostly one
	byNamespace map[string]set                       // of the APIRule or one of its Services
}

func (r *references) add(view apirule.View) {
	if r.byService == nil {
		r.byService = map[types.NamespacedName]sortedNames{}
		r.byNamespace = map[string]set{}
	}
	name := view.NamespacedName()
	put(r.byNamespace, view.Namespace, name)
	for service := range servicesOf(view) {
		r.byService[service] = r.byService[service].with(name)
		put(r.byNamespace, service.Namespace, name)
	}
}

func (r *references) remove(view apirule.View) {
	name := view.NamespacedName()
	drop(r.byNamespace, view.Namespace, name)
	for service := range servicesOf(view) {
		if left := r.byService[service].without(name); len(left) > 0 {
			r.byService[service] = left
		} else {
			delete(r.byService, service)
		}
		drop(r.byNamespace, service.Namespace, name)
	}
}

func servicesOf(view apirule.View) map[types.NamespacedName]bool {
	services := make(map[types.NamespacedName]bool, 1)
	for _, rule := range view.Rules {
		if rule.Service.Name != "" {
			services[rule.Service] = true
		}
	}
	return services
}

// set is a set of objects.
type set map[types.NamespacedName]struct{}

func put(index map[string]set, key string, name types.NamespacedName) {
	if index[key] == nil {
		index[key] = make(set, 1)
	}
	index[key][name] = struct{}{}
}

func drop(index map[string]set, key string, name types.NamespacedName) {
	delete(index[key], name)
	if len(index[key]) == 0 {
		delete(index, key)
	}
}

// Service returns a Service.
func (w *World) Service(name types.NamespacedName) (policy.Service, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.services.get(name)
}

// Services returns the names of the Services that wanted says, in their order.
func (w *World) Services(wanted func(policy.Service) bool) []types.NamespacedName {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var names []types.NamespacedName
	for name, service := range w.services {
		if wanted(*service) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, compareNames)
	return names
}
