// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/extauth-guard/extauth-guard/pkg/apirule"
)

// users is an index of the APIRules that protect something: by effective Service
// and authorizer, and by authorizer alone. The authorizer of a jwt rule is "".
type users struct {
	byService    map[types.NamespacedName][]authorizerUsers
	byAuthorizer map[string]set
}

// authorizerUsers are the APIRules that protect one Service by one authorizer. A
// Service has few authorizers, so they are a list: a map of its own for each
// Service would take more memory than all that is in it.
type authorizerUsers struct {
	authorizer string
	names      sortedNames
}

func newUsers() *users {
	return &users{
		byService:    map[types.NamespacedName][]authorizerUsers{},
		byAuthorizer: map[string]set{},
	}
}

func (u *users) add(view apirule.View) {
	name := view.NamespacedName()
	for _, use := range usesOf(view) {
		of := u.byService[use.service]
		at := find(of, use.authorizer)
		if at < 0 {
			u.byService[use.service] = append(of, authorizerUsers{authorizer: use.authorizer, names: sortedNames{name}})
		} else {
			of[at].names = of[at].names.with(name)
		}
		if use.authorizer != "" {
			put(u.byAuthorizer, use.authorizer, name)
		}
	}
}

func (u *users) remove(view apirule.View) {
	name := view.NamespacedName()
	for _, use := range usesOf(view) {
		u.removeFromService(use, name)
		drop(u.byAuthorizer, use.authorizer, name)
	}
}

func (u *users) removeFromService(use use, name types.NamespacedName) {
	of := u.byService[use.service]
	at := find(of, use.authorizer)
	if at < 0 {
		return
	}
	of[at].names = of[at].names.without(name)
	if len(of[at].names) > 0 {
		return
	}
	if of = slices.Delete(of, at, at+1); len(of) > 0 {
		u.byService[use.service] = of
	} else {
		delete(u.byService, use.service)
	}
}

func find(of []authorizerUsers, authorizer string) int {
	return slices.IndexFunc(of, func(one authorizerUsers) bool { return one.authorizer == authorizer })
}

// use is one authorizer of one rule at its Service.
type use struct {
	service    types.NamespacedName
	authorizer string
}

func usesOf(view apirule.View) []use {
	var uses []use
	for _, rule := range view.Rules {
		if rule.Service.Name == "" || !rule.Protected() {
			continue
		}
		if len(rule.Authorizers) == 0 {
			uses = append(uses, use{service: rule.Service})
		}
		for _, authorizer := range rule.Authorizers {
			uses = append(uses, use{service: rule.Service, authorizer: authorizer})
		}
	}
	return uses
}

// sortedNames is a set of objects in order.
type sortedNames []types.NamespacedName

func (n sortedNames) search(name types.NamespacedName) (int, bool) {
	return slices.BinarySearchFunc(n, name, compareNames)
}

func (n sortedNames) with(name types.NamespacedName) sortedNames {
	at, found := n.search(name)
	if found {
		return n
	}
	return slices.Insert(n, at, name)
}

func (n sortedNames) without(name types.NamespacedName) sortedNames {
	at, found := n.search(name)
	if !found {
		return n
	}
	return slices.Delete(n, at, at+1)
}

// otherThan returns the first name that is not self, one in a namespace before all others.
func (n sortedNames) otherThan(self types.NamespacedName, namespace string) (types.NamespacedName, bool) {
	at, _ := n.search(types.NamespacedName{Namespace: namespace})
	for _, name := range n[at:min(len(n), at+2)] {
		if name != self && name.Namespace == namespace {
			return name, true
		}
	}
	for _, name := range n[:min(len(n), 2)] {
		if name != self {
			return name, true
		}
	}
	return types.NamespacedName{}, false
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
