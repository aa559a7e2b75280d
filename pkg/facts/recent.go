// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
	"github.com/extauth-guard/extauth-guard/pkg/policy"
)

// What [Recent] remembers: a watch that lags behind for longer is not made up for.
const (
	recentFor  = 2 * time.Second
	maxRecents = 1024
)

// Recent remembers the APIRules that this process admitted in the last moments. Two that
// are written at once see each other here, although the watch has shown neither; one that is
// refused is seen by nobody. It is
// safe for several goroutines. The zero value is not usable; nil remembers nothing.
type Recent struct {
	world *World

	mu        sync.Mutex
	users     *users
	workloads workloads
	services  map[types.NamespacedName]recentService
	entries   map[types.NamespacedName]recent
	order     []recent // the oldest first, also of those that are forgotten
}

// recent is an APIRule that was admitted.
type recent struct {
	view   apirule.View
	before []use // what the watch knew when it was admitted
	until  time.Time
}

// recentService is a Service that admitted APIRules lead to.
type recentService struct {
	selector policy.Selector
	entries  int
}

// NewRecent returns a Recent that remembers nothing yet. world tells it what the watch has
// shown in the meantime; it tells one Recent, the last that was made of it.
func NewRecent(world *World) *Recent {
	recent := &Recent{
		world: world, users: newUsers(), workloads: workloads{},
		services: map[types.NamespacedName]recentService{}, entries: map[types.NamespacedName]recent{},
	}
	world.recent.Store(recent)
	return recent
}

// shown forgets an APIRule once the watch has shown what was admitted, or what came later.
// The caller does not hold the lock of the world.
func (r *Recent) shown(name types.NamespacedName) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry, exists := r.entries[name]; exists && !slices.Equal(r.known(name), entry.before) {
		r.forget(name)
	}
}

// Around adds to the facts around view the neighbours that the watch has not shown yet.
func (r *Recent) Around(view apirule.View, facts *policy.Facts, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.around(view, facts, now)
}

// Admit remembers view, which is about to be admitted by what facts say, and returns true.
// It returns false if another APIRule was admitted in front of the same workload since the
// facts were asked for: it adds that one to facts and remembers nothing, and view is to be
// judged again. An APIRule whose authorizers and Services the watch knows already is not
// remembered, and neither is one whose name is still to be generated.
func (r *Recent) Admit(view apirule.View, facts *policy.Facts, now time.Time) bool {
	if r == nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.around(view, facts, now) {
		return false
	}
	name, before := view.NamespacedName(), r.known(view.NamespacedName())
	r.forget(name)
	if uses := usesOf(view); name.Name != "" && len(uses) > 0 && !slices.Equal(uses, before) {
		r.remember(recent{view: view, before: before, until: now.Add(recentFor)}, facts)
	}
	return true
}

// around adds the neighbours of all Services of view, and is true if that changed facts.
// The caller holds mu.
func (r *Recent) around(view apirule.View, facts *policy.Facts, now time.Time) (changed bool) {
	r.expire(now)
	done := map[types.NamespacedName]bool{}
	for _, rule := range view.Rules {
		if !done[rule.Service] {
			done[rule.Service] = true
			changed = r.addNeighbours(facts, view.NamespacedName(), rule.Service) || changed
		}
	}
	return changed
}

// addNeighbours adds the APIRules that were admitted in front of the workload of a Service,
// and is true if facts did not know one of them.
func (r *Recent) addNeighbours(facts *policy.Facts, self, service types.NamespacedName) bool {
	found := map[string]policy.Neighbour{}
	for _, near := range r.near(service, facts.Services[service].Selector) {
		for _, users := range r.users.byService[near] {
			for _, other := range users.names {
				if other != self {
					offer(found, policy.Neighbour{
						Object: fmt.Sprintf("APIRule %s", other), Authorizer: users.authorizer, Foreign: other.Namespace != service.Namespace,
					})
				}
			}
		}
	}
	if len(found) == 0 {
		return false
	}
	known := facts.Neighbours[service]
	for _, neighbour := range known {
		offer(found, neighbour)
	}
	neighbours := make([]policy.Neighbour, 0, len(found))
	for _, authorizer := range sortedKeys(found) {
		neighbours = append(neighbours, found[authorizer])
	}
	if slices.Equal(neighbours, known) {
		return false
	}
	if facts.Neighbours == nil {
		facts.Neighbours = map[types.NamespacedName][]policy.Neighbour{}
	}
	facts.Neighbours[service] = neighbours
	return true
}

// near returns a Service and those that share Pods with it.
func (r *Recent) near(service types.NamespacedName, selector policy.Selector) []types.NamespacedName {
	near := []types.NamespacedName{service}
	for _, one := range r.workloads.sharing(service.Namespace, selector) {
		for _, other := range one.services {
			if other != service {
				near = append(near, other)
			}
		}
	}
	return near
}

// known returns what the watch has shown of an APIRule; nil if it does not exist.
func (r *Recent) known(name types.NamespacedName) []use {
	view, _ := r.world.APIRule(name)
	return usesOf(view)
}

// remember adds an entry. The caller holds mu.
func (r *Recent) remember(entry recent, facts *policy.Facts) {
	r.entries[entry.view.NamespacedName()] = entry
	r.order = append(r.order, entry)
	r.users.add(entry.view)
	for _, service := range protectedBy(entry.view) {
		of, exists := r.services[service]
		if !exists {
			of.selector = facts.Services[service].Selector
			r.workloads.addService(service, of.selector)
		}
		of.entries++
		r.services[service] = of
	}
}

// forget drops an APIRule; its place in the order is passed over later.
func (r *Recent) forget(name types.NamespacedName) {
	entry, exists := r.entries[name]
	if !exists {
		return
	}
	delete(r.entries, name)
	r.users.remove(entry.view)
	for _, service := range protectedBy(entry.view) {
		of := r.services[service]
		if of.entries--; of.entries > 0 {
			r.services[service] = of
			continue
		}
		delete(r.services, service)
		r.workloads.removeService(service, of.selector)
	}
}

// expire forgets what is too old, and the oldest of too many.
func (r *Recent) expire(now time.Time) {
	for len(r.order) > 0 && (len(r.order) >= maxRecents || !now.Before(r.order[0].until)) {
		name := r.order[0].view.NamespacedName()
		if r.entries[name].until.Equal(r.order[0].until) {
			r.forget(name)
		}
		r.order[0] = recent{} // it keeps nothing alive
		r.order = r.order[1:]
	}
}

// protectedBy returns the Services that an APIRule protects, each once.
func protectedBy(view apirule.View) []types.NamespacedName {
	var services []types.NamespacedName
	for _, one := range usesOf(view) {
		if !slices.Contains(services, one.service) {
			services = append(services, one.service)
		}
	}
	return services
}
